"""The data of a retraining: new and earlier examples to learn from, a fixed test set, and a check for leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.output.terminal import note
from distill.data.checks import content_hash, raise_if_any
from distill.data.dataset import Example, Splits, read_examples, read_split, read_splits
from distill.data.lineage import Lineage
from distill.data.roles import Ask

MIN_TEST = 30  # test examples: a bootstrap over fewer is not to be trusted
EARLIER = "earlier/"  # before the ids of earlier examples, which may be those of new ones


@dataclass(frozen=True)
class RetrainData:
    """`splits` holds what a retraining learns from, with earlier training examples, and the fixed test set.
    `fresh` are the new examples and `reference` those that they are compared with; no example is in both."""

    splits: Splits
    fresh: list[Example]
    reference: list[Example]


def read_test(source: Path, ask: Ask | None = None) -> list[Example]:
    """All rows of a file, or the test split of a folder. Raises DataError for too few rows, or no label."""
    examples = read_split(source, "test", ask) if source.is_dir() else read_examples(source, ask)
    if not examples:
        raise DataError(f"{source}: no test.json, test.jsonl or test.csv; give --test a labelled file")
    if len(examples) < MIN_TEST:
        raise DataError(
            f"{source}: {len(examples)} test examples are too few to compare two runs; at least {MIN_TEST}"
        )
    if not any(example.labels for example in examples):
        raise DataError(f"{source}: no row has a label, so nothing can be measured; add labels")
    return examples


def read_retrain_data(data: Path, earlier: Path | None, test: Path, ask: Ask, seen: Lineage) -> RetrainData:
    """Read the new data, the `earlier` data and the test set, for a successor of a run that has `seen` so much. All
    are read as `ask` says, with the labels of the run.

    Raises DataError for leaks, which would spoil the comparison of both runs: test examples that either learns
    from, and dev examples that the earlier run was trained on, by which epoch and thresholds would be chosen.
    """
    fixed, labels = read_test(test, ask), ask.labels
    new = read_splits(data, labels, ask.columns, ask.remembered)
    before = None if earlier is None else read_splits(earlier, labels, ask.columns, ask.remembered)
    new_content = {content_hash(example) for example in (*new.train, *new.dev)}
    replayed = [] if before is None else [_renamed(e) for e in before.train if content_hash(e) not in new_content]
    splits = Splits(new.labels, [*new.train, *replayed], new.dev, fixed, columns=new.columns)
    _refuse_leaks(splits, seen)
    further = [] if before is None else [*before.train, *before.dev, *_labelled_test(before, earlier)]
    reference = _distinct([*fixed, *map(_renamed, further)], set())
    fresh = _distinct([*new.train, *new.dev], {content_hash(example) for example in reference})
    return RetrainData(splits, fresh, reference)


def _labelled_test(before: Splits, earlier: Path | None) -> list[Example]:
    """The earlier test split; nothing if its labels are withheld, which would count as examples without labels."""
    if before.test and not any(example.labels for example in before.test):
        note(f"{earlier}: no row of its test split has a label; new examples are not compared with it")
        return []
    return before.test


def _renamed(example: Example) -> Example:
    return replace(example, id=EARLIER + example.id)


def _distinct(examples: Sequence[Example], excluded: set[str]) -> list[Example]:
    """The examples in order, each content once, without the content hashes in `excluded`."""
    by_content = {hash_: e for e in reversed(examples) if (hash_ := content_hash(e)) not in excluded}
    return list(reversed(by_content.values()))


def _refuse_leaks(splits: Splits, seen: Lineage) -> None:
    test = {content_hash(example): example.id for example in splits.test}
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        leaks = [f"{test[h]!r} is {e.id!r} of {name}" for e in part if (h := content_hash(e)) in test]
        raise_if_any("test example in the data to learn from; take it out of either", leaks)
    leaks = [repr(id_) for content, id_ in test.items() if content in seen.train]
    raise_if_any(
        "test example that the earlier run was trained on; the comparison would flatter it, take it out", leaks
    )
    in_train = seen.trained_on(splits.dev)
    leaks = [repr(example.id) for example, is_leak in zip(splits.dev, in_train, strict=True) if is_leak]
    raise_if_any("dev example that the earlier run was trained on; move it to train", leaks)


def comparison_cautions(splits: Splits, seen: Lineage) -> list[str]:
    """Warnings about what may bias the comparison a little, which does not stop it."""
    test = {content_hash(example) for example in splits.test}
    warnings = []
    if in_dev := len(test & seen.dev):
        warnings.append(
            f"{in_dev} of {len(test)} test examples were in the earlier run's dev split, which chose its epoch and "
            "perhaps its thresholds: the comparison flatters the earlier run a little"
        )
    if seen.test and seen.test != test:
        warnings.append(
            "the earlier run was judged on another test set when it was retrained: its figures then and now do not "
            "compare"
        )
    return warnings
