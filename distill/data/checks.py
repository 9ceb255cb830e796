"""Checks a dataset before training: reports every fault of a kind at once, and warns of what may spoil results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.core.errors import DataError, ImageError
from distill.core.files import sha256_of
from distill.core.terminal import track
from distill.core.untrusted import short_repr
from distill.data.dataset import Example, Splits, encode_targets, read_examples
from distill.data.labels import LabelSet
from distill.data.likeness import alike, text_key
from distill.data.roles import Ask
from distill.preprocess.images import ImageSpec, image_to_uint8
from distill.preprocess.text import has_text

NEAR_TEXT = "text, up to case, spaces and punctuation,"
MAX_LISTED = 5  # faults of a kind that are named; the rest is counted
# Every image is decoded once, small: a JPEG is read to its end all the same.
CHECK_SPEC = ImageSpec(size=32, fit="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def check_splits(splits: Splits, owner: Path | None = None) -> list[str]:
    """Raise DataError for faults that spoil results, and return a warning for each that may.

    Errors: a label outside the label set, an id in two splits, a missing or unreadable image, a training split
    without a label and a dev split on which no thresholds can be fitted. Warnings: the same image or text in two
    splits, labels that look alike, a label on no row or on every row, rows without text or image. `owner` is the
    run or Bundle that the label set comes from, None if it is the dataset's.
    """
    parts = {"train": splits.train, "dev": splits.dev, "test": splits.test}
    rows = [(name, example) for name, part in parts.items() for example in part]
    refuse_unknown_labels(rows, splits.labels, owner)
    raise_if_any("id in two splits; give each post to one split", _shared_ids(parts))
    labelled = sum(bool(example.labels) for example in splits.dev)
    if labelled < 2:  # cross-fitting holds one out; otherwise training would end in this error, hours later
        raise DataError(
            f"dev: {labelled} of {len(splits.dev)} rows have a label, and thresholds need 2; divide the data again "
            "with distill split, or add rows"
        )
    if not any(example.labels for example in splits.train):
        raise DataError(
            f"train: none of {len(splits.train)} rows has a label, so there is nothing to learn; add labels, or "
            "divide the data again with distill split"
        )
    hashes, broken = _hash_images(rows)
    raise_if_any("image missing or unreadable; fix or remove the row", broken)
    warnings = [*_missing_labels(parts), *look_alikes(splits.labels)]
    warnings += [*_shared("image", hashes), *_shared(NEAR_TEXT, _text_keys(rows))]
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        warnings += _one_sided_labels(name, part, splits.labels)
    for what, count in (
        ("text", sum(not has_text(example.text) for _, example in rows)),
        ("image", sum(example.image is None for _, example in rows)),
    ):
        if count:
            warnings.append(f"{count} of {len(rows)} rows have no {what}")
    return warnings


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
    targets = encode_targets(part, labels)
    positives, known = np.nansum(targets, axis=0), (~np.isnan(targets)).sum(0)
    empty = [label for label, count in zip(labels.names, positives, strict=True) if count == 0]
    full = [label for label, one, all_ in zip(labels.names, positives, known, strict=True) if one == all_ > 0]
    if empty:
        what = "cannot be learned" if name == "train" else "its threshold and F1 cannot be measured"
        yield f"{name}: no positive example of {_first_few(empty)}: {what}"
    if full:
        what = "there is nothing to learn" if name == "train" else "its F1 is 1 whatever a model has learned"
        yield f"{name}: every row has {_first_few(full)}: {what}"


def refuse_unknown_labels(rows: Sequence[tuple[str, Example]], labels: LabelSet, owner: Path | None) -> None:
    """Raise DataError for labels outside the label set. `rows` are (name of the split, example); `owner` is as in
    `check_splits`."""
    names = set(labels.names)
    unknown = [
        f"{example.id!r} ({split}) has label {label!r}"
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
    raise_if_any(fault, unknown)


def read_unlabelled(path: Path, splits: Splits) -> list[Example]:
    """Examples for a teacher to label; their own labels are not used. Examples whose content is in a split, and
    duplicates, are left out. Raises DataError for rows and images that cannot be read."""
    examples = read_examples(path, Ask(remembered=splits.columns, wants_labels=False))
    _, broken = _hash_images([("unlabelled", example) for example in examples])
    raise_if_any("image missing or unreadable; fix or remove the row", broken)
    in_splits = {content_hash(example) for part in (splits.train, splits.dev, splits.test) for example in part}
    examples = [replace(example, labels=None, unknown_labels=()) for example in examples]
    fresh = {hash_: example for example in examples if (hash_ := content_hash(example)) not in in_splits}
    return list(fresh.values())


def image_hash(image: Path | bytes) -> str:
    """Hex SHA-256 of an image file, or of the content of one. Raises ImageError if it cannot be read."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    try:
        return sha256_of(image)
    except OSError as error:
        raise ImageError(f"{image}: cannot be read: {error.strerror}") from error


def content_hash(example: Example) -> str:
    """Hex SHA-256 of an example's text and image, which are all that a model sees. Raises ImageError."""
    text = example.text.encode("utf-8", "replace")
    image = b"" if example.image is None else image_hash(example.image).encode()
    return hashlib.sha256(image + text).hexdigest()


def _shared_ids(parts: dict[str, list[Example]]) -> list[str]:
    split_of: dict[str, str] = {}
    shared = []
    for split, part in parts.items():
        for example in part:
            if split_of.setdefault(example.id, split) != split:
                shared.append(f"{example.id!r} in {split_of[example.id]} and {split}")
    return shared


def _hash_images(rows: Sequence[tuple[str, Example]]) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """(split, id) of the examples of each image, by the image's hash, and the faults of images that cannot be
    read."""
    hashes: dict[str, list[tuple[str, str]]] = {}
    broken = []
    for split, example in track(rows, "checking images", len(rows)):
        if example.image is None:
            continue
        try:
            image_to_uint8(example.image, CHECK_SPEC)
            hashes.setdefault(image_hash(example.image), []).append((split, example.id))
        except ImageError as error:
            broken.append(f"{example.id!r} ({split}): {error}")
    return hashes, broken


def _text_keys(rows: Sequence[tuple[str, Example]]) -> dict[str, list[tuple[str, str]]]:
    """(split, id) of the examples of each text, by its `text_key`."""
    keys: dict[str, list[tuple[str, str]]] = {}
    for split, example in rows:
        if key := text_key(example.text):
            keys.setdefault(key, []).append((split, example.id))
    return keys


def _shared(what: str, by_content: dict[str, list[tuple[str, str]]]) -> list[str]:
    """A warning of what is in two splits, with the first example in each."""
    leaks = []
    for examples in by_content.values():
        first: dict[str, str] = {}
        for split, id_ in examples:
            first.setdefault(split, id_)
        if len(first) > 1:
            leaks.append(" and ".join(f"{short_repr(id_)} ({split})" for split, id_ in first.items()))
    if not leaks:
        return []
    return [f"the same {what} is in two splits, which inflates the metrics: {_first_few(leaks)}"]


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
    if faults:
        raise DataError(f"{len(faults)} x {what}: {_first_few(faults)}")


def _first_few(items: Sequence[str]) -> str:
    more = f", and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return ", ".join(items[:MAX_LISTED]) + more
