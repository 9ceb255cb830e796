"""New data, earlier data and a fixed test set, told apart by content. Knows examples, no models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.terminal import note
from distill.data.checks import content_hash, raise_faults
from distill.data.dataset import Example, Splits, find_split, read_examples, read_splits
from distill.data.labels import LabelSet
from distill.data.lineage import Lineage

FEWEST = 30  # test examples: a bootstrap over fewer promises more than it keeps
EARLIER = "earlier/"  # before the ids of earlier examples, which may be those of new ones


@dataclass(frozen=True)
class Incoming:
    """`splits` is what a retraining learns from (earlier training examples joined) and its test split the fixed
    one. `fresh` are new examples and `reference` what they are compared with; no example is in both."""

    splits: Splits
    fresh: list[Example]
    reference: list[Example]


def read_test(source: Path) -> list[Example]:
    """All rows of a file, or the test split of a folder. Raises DataError when they are too few to judge by."""
    path = find_split(source, "test") if source.is_dir() else source
    if path is None:
        raise DataError(f"{source}: no test.json, test.jsonl or test.csv; give --test a labelled file")
    examples = read_examples(path)
    if len(examples) < FEWEST:
        raise DataError(f"{path}: {len(examples)} test examples are too few to compare two runs; at least {FEWEST}")
    if not any(example.labels for example in examples):
        raise DataError(f"{path}: no row has a label, so nothing can be measured; add labels")
    return examples


def read_incoming(data: Path, earlier: Path | None, test: Path, labels: LabelSet, seen: Lineage) -> Incoming:
    """Read all three; refuse what would spoil the comparison of a run that has `seen` so much with its successor.

    Raises DataError for test examples that either of them learns from, and for dev examples that the earlier one
    was trained on: the epoch and the thresholds would be chosen on what it knows by heart.
    """
    fixed, new = read_test(test), read_splits(data, labels)
    before = None if earlier is None else read_splits(earlier, labels)
    known = {content_hash(example) for example in (*new.train, *new.dev)}
    replayed = [] if before is None else [_renamed(e) for e in before.train if content_hash(e) not in known]
    splits = Splits(labels, [*new.train, *replayed], new.dev, fixed)
    _refuse_leaks(splits, seen)
    further = [] if before is None else [*before.train, *before.dev, *_known_test(before, earlier)]
    reference = _distinct([*fixed, *map(_renamed, further)], set())
    fresh = _distinct([*new.train, *new.dev], {content_hash(example) for example in reference})
    return Incoming(splits, fresh, reference)


def _known_test(before: Splits, earlier: Path | None) -> list[Example]:
    """The earlier test split; nothing where its labels are kept secret, which would be taken for examples without
    any."""
    if before.test and not any(example.labels for example in before.test):
        note(f"{earlier}: no row of its test split has a label; new examples are not compared with it")
        return []
    return before.test


def _renamed(example: Example) -> Example:
    return replace(example, id=EARLIER + example.id)


def _distinct(examples: Sequence[Example], known: set[str]) -> list[Example]:
    """Those whose content is not known, each once, in order."""
    found = {name: example for example in reversed(examples) if (name := content_hash(example)) not in known}
    return list(reversed(found.values()))


def _refuse_leaks(splits: Splits, seen: Lineage) -> None:
    held = {content_hash(example): example.id for example in splits.test}
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        shared = [f"{held[h]!r} is {e.id!r} of {name}" for e in part if (h := content_hash(e)) in held]
        raise_faults("test example in the data to learn from; take it out of either", shared)
    known = [repr(id_) for content, id_ in held.items() if content in seen.train]
    raise_faults(
        "test example that the earlier run was trained on; the comparison would flatter it, take it out", known
    )
    learned = seen.trained_on(splits.dev)
    known = [repr(example.id) for example, is_known in zip(splits.dev, learned, strict=True) if is_known]
    raise_faults("dev example that the earlier run was trained on; move it to train", known)


def cautions(splits: Splits, seen: Lineage) -> list[str]:
    """What may bend the comparison and stops nothing."""
    test = {content_hash(example) for example in splits.test}
    found = []
    if chosen := len(test & seen.dev):
        found.append(
            f"{chosen} of {len(test)} test examples were in the earlier run's dev split, which chose its epoch and "
            "perhaps its thresholds: the comparison flatters the earlier run a little"
        )
    if seen.test and seen.test != test:
        found.append(
            "the earlier run was judged on another test set when it was retrained: its figures then and now do not "
            "compare"
        )
    return found
