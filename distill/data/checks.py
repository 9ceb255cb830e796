"""Checks a dataset before training: reports every fault of a kind at once, and warns of what may spoil results."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.dataset import SPLIT_NAMES, Example, Splits
from distill.data.duplicates import WORDS, Duplicates, Row, find_duplicates
from distill.data.image_facts import facts_of, image_hash
from distill.data.labels import LabelSet
from distill.data.likeness import alike
from distill.preprocess.text import has_text

FEWEST_DEV, FEWEST_POSITIVES = 50, 3  # rows of dev, and of a label there; with fewer, chance decides
MAX_LISTED = 5  # faults of a kind that are named; the rest is counted


def check_splits(splits: Splits, owner: Path | None = None) -> list[str]:
    """Raise DataError for faults that spoil results, and return a warning for each that may.

    Errors: a label outside the label set, an id in two splits, a missing or unreadable image, a training split
    without a label and a dev split on which no thresholds can be fitted. Warnings: the same image or text in two
    splits, or an image that looks the same, duplicates with other labels, labels that look alike, a label on no row
    or on every row, rows without text or image. `owner` is the run or Bundle that the label set comes from, None if
    it is the dataset's.
    """
    rows = rows_of(splits)
    for fault in faults_of(splits, rows, owner):
        raise DataError(fault)
    facts, broken = facts_of(rows)
    for fault in image_faults(broken):
        raise DataError(fault)
    return warnings_of(splits, rows, find_duplicates(rows, facts))


def rows_of(splits: Splits) -> list[Row]:
    """The examples of train, dev and test, in this order, each behind the name of its split."""
    return [(name, example) for name in SPLIT_NAMES for example in getattr(splits, name)]


def faults_of(splits: Splits, rows: Sequence[Row], owner: Path | None = None) -> Iterator[str]:
    """What `check_splits` raises, a line for each kind of fault; images are not opened. `rows` are all of them."""
    yield from _listed(*_unknown_labels(rows, splits.labels, owner))
    yield from _listed("id in two splits; give each post to one split", _shared_ids(rows))
    labelled = sum(bool(example.labels) for example in splits.dev)
    if labelled < 2:  # cross-fitting holds one out; otherwise training would end in this error, hours later
        yield (
            f"dev: {labelled} of {len(splits.dev)} rows have a label, and thresholds need 2; divide the data again "
            "with distill split, or add rows"
        )
    if not any(example.labels for example in splits.train):
        yield (
            f"train: none of {len(splits.train)} rows has a label, so there is nothing to learn; add labels, or "
            "divide the data again with distill split"
        )


def image_faults(broken: Sequence[str]) -> Iterator[str]:
    """The line about images that cannot be read, as `facts_of` lists them; none where all can."""
    elsewhere = "give --images FOLDER if they are elsewhere, or " * any("no such image" in each for each in broken)
    return _listed(f"image missing or unreadable; {elsewhere}fix or remove the row", broken)


def warnings_of(splits: Splits, rows: Sequence[Row], duplicates: Sequence[Duplicates]) -> list[str]:
    """What `check_splits` returns; `rows` are all of them."""
    parts = {name: getattr(splits, name) for name in SPLIT_NAMES}
    warnings = [*_missing_labels(parts), *look_alikes(splits.labels), *_duplicate_warnings(rows, duplicates)]
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        warnings += _one_sided_labels(name, part, splits.labels)
    for what, count in (
        ("text", sum(not has_text(example.text) for _, example in rows)),
        ("image", sum(example.image is None for _, example in rows)),
    ):
        if count:
            warnings.append(f"{count} of {len(rows)} rows have no {what}")
    return warnings


def thin_dev(splits: Splits, step: str) -> list[str]:
    """A warning of a dev split by which little can be decided, with the next `step`; none of one that is large
    enough."""
    known = [example for example in splits.dev if example.labels is not None]
    positives = Counter(label for example in known for label in example.labels or ())
    rare = [
        f"{label} ({positives[label]})" for label in splits.labels.names if 0 < positives[label] < FEWEST_POSITIVES
    ]
    if len(known) >= FEWEST_DEV and not rare:
        return []
    few = f" and fewer than {FEWEST_POSITIVES} positive examples of {_first_few(rare)}" if rare else ""
    return [f"dev: {len(known)} labelled rows{few}, on which thresholds and the best epoch would rest; {step}"]


def _duplicate_warnings(rows: Sequence[Row], duplicates: Sequence[Duplicates]) -> Iterator[str]:
    """Of each kind, what is in two splits, and what is the same under other labels."""
    for kind, words in WORDS.items():
        leaks = [_names(rows, group, 1) for group in duplicates if group.kind == kind and group.leak]
        if leaks:
            yield f"{words} is in two splits, which inflates the metrics: {_first_few(leaks)}"
    for kind, words in WORDS.items():
        clashes = [_names(rows, group, 2) for group in duplicates if group.kind == kind and group.clash]
        if clashes:
            yield f"{words} has different labels in different rows ({len(clashes)} x): {_first_few(clashes)}"


def _names(rows: Sequence[Row], group: Duplicates, of_each: int) -> str:
    """The first rows of a group, so many of each split."""
    taken: Counter[str] = Counter()
    names = []
    for split, example in (rows[row] for row in group.rows):
        taken[split] += 1
        if taken[split] <= of_each:
            names.append(f"{short_repr(example.id)} ({split})")
    return " and ".join(names)


def _missing_labels(parts: dict[str, list[Example]]) -> Iterator[str]:
    """Warnings of rows whose labels are unknown, and of labels that are unknown of some rows."""
    for name, part in parts.items():
        rows = sum(example.labels is None for example in part)
        pairs = sum(len(example.unknown_labels) for example in part if example.labels is not None)
        if rows:
            use = "only a student learns from them" if name == "train" else "they are not measured"
            yield (
                f"{name}: {rows} of {len(part)} rows have no 'labels', so theirs are unknown and {use}; write [] "
                "for a row that has none of the labels"
            )
        if pairs:
            yield f"{name}: {pairs} labels are null, so unknown: they count in no loss and in no metric"


def _one_sided_labels(name: str, part: Sequence[Example], labels: LabelSet) -> Iterator[str]:
    """Warnings of labels that no row of a split has, or every row of which it is known."""
    positives = Counter(label for example in part for label in example.labels or ())
    known = [example for example in part if example.labels is not None]
    unknown = Counter(label for example in known for label in example.unknown_labels)
    empty = [label for label in labels.names if not positives[label]]
    full = [label for label in labels.names if positives[label] and positives[label] == len(known) - unknown[label]]
    if empty:
        what = "cannot be learned" if name == "train" else "its threshold and F1 cannot be measured"
        yield f"{name}: no positive example of {_first_few(empty)}: {what}"
    if full:
        what = "there is nothing to learn" if name == "train" else "its F1 is 1 whatever a model has learned"
        yield f"{name}: every row has {_first_few(full)}: {what}"


def refuse_unknown_labels(rows: Sequence[Row], labels: LabelSet, owner: Path | None) -> None:
    """Raise DataError for labels outside the label set. `rows` are (name of the split, example); `owner` is as in
    `check_splits`."""
    for fault in _listed(*_unknown_labels(rows, labels, owner)):
        raise DataError(fault)


def _unknown_labels(rows: Sequence[Row], labels: LabelSet, owner: Path | None) -> tuple[str, list[str]]:
    """What is wrong with labels outside the label set, and every one of them."""
    names = set(labels.names)
    unknown = [
        f"{short_repr(example.id)} ({split}) has label {short_repr(label)}"
        for split, example in rows
        for label in example.named_labels()
        if label not in names
    ]
    fault = "label not in the label set; fix the row or add the label to labels.txt"
    if owner is not None:
        fault = (
            f"label not in the label set of {owner}, whose {len(labels)} labels are fixed; remove it from the row, "
            "or train a new model"
        )
    return fault, unknown


def content_hash(example: Example) -> str:
    """Hex SHA-256 of an example's text and image, which are all that a model sees. Raises ImageError."""
    text = example.text.encode("utf-8", "replace")
    image = b"" if example.image is None else image_hash(example.image).encode()
    return hashlib.sha256(image + text).hexdigest()


def _shared_ids(rows: Sequence[Row]) -> list[str]:
    split_of: dict[str, str] = {}
    shared = []
    for split, example in rows:
        if (first := split_of.setdefault(example.id, split)) != split:
            shared.append(f"{short_repr(example.id)} in {first} and {split}")
    return shared


def look_alikes(labels: LabelSet) -> list[str]:
    """A warning of labels that differ only in how they are written; none where all differ otherwise."""
    groups = [" and ".join(map(ascii, group)) for group in alike(labels.names)]
    if not groups:
        return []
    return [
        "labels differ only in case, Unicode form or invisible characters, and are learned as different ones: "
        f"{_first_few(groups)}; write each in one way"
    ]


def raise_if_any(what: str, faults: Sequence[str]) -> None:
    """Raise DataError if there are any faults, with their number and the first of them."""
    for fault in _listed(what, faults):
        raise DataError(fault)


def _listed(what: str, faults: Sequence[str]) -> Iterator[str]:
    """A line with the number of the faults and the first of them, if there are any."""
    if faults:
        yield f"{len(faults)} x {what}: {_first_few(faults)}"


def _first_few(items: Sequence[str]) -> str:
    more = f", and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return ", ".join(items[:MAX_LISTED]) + more
