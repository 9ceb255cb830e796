"""Checking a dataset before anything slow starts: every fault is found in one pass. Knows examples only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.core.errors import DataError, ImageError
from distill.core.files import sha256_of
from distill.core.terminal import track
from distill.data.dataset import Example, Splits, read_examples
from distill.data.labels import LabelSet
from distill.preprocess.images import ImageSpec, image_to_uint8
from distill.preprocess.text import has_text

MAX_LISTED = 5  # of each kind of fault; the rest is counted
# A JPEG is read to its end, but decoded small; whatever a run does with an image, it does here once.
CHECK_SPEC = ImageSpec(size=32, fit="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Integrity:
    """What was found that does not stop a run, one line each."""

    warnings: tuple[str, ...]


def check_splits(splits: Splits, owner: Path | None = None) -> Integrity:
    """Raise DataError for faults that would spoil a result; return the warnings for those that may. `owner` is the
    run or Bundle whose label set it is, None where it is the data's own.

    Errors: a label outside the label set, an id in two splits, a missing or unreadable image, a dev split that no
    threshold can be fitted on. Warnings: the same image in two splits, a label without a positive example, rows
    without text.
    """
    parts = {"train": splits.train, "dev": splits.dev, "test": splits.test}
    rows = [(name, example) for name, part in parts.items() for example in part]
    refuse_unknown_labels(rows, splits.labels, owner)
    raise_faults("id in two splits; give each post to one split", _shared_ids(parts))
    labelled = sum(bool(example.labels) for example in splits.dev)
    if labelled < 2:  # cross-fitting holds one of them out; training would end in this error, hours later
        raise DataError(
            f"dev: {labelled} of {len(splits.dev)} rows have a label, and thresholds need 2; divide the data again "
            "with distill split, or add rows"
        )
    hashes, broken = _hash_images(rows)
    raise_faults("image missing or unreadable; mend or remove the row", broken)
    warnings = _shared_images(hashes)
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        counts = splits.labels.encode([example.labels for example in part]).sum(0)
        empty = [label for label, count in zip(splits.labels.names, counts, strict=True) if count == 0]
        if empty:
            what = "cannot be learned" if name == "train" else "its threshold and F1 cannot be measured"
            warnings.append(f"{name}: no positive example of {_first_few(empty)}: {what}")
    for what, count in (
        ("text", sum(not has_text(example.text) for _, example in rows)),
        ("image", sum(example.image is None for _, example in rows)),
    ):
        if count:
            warnings.append(f"{count} of {len(rows)} rows have no {what}")
    return Integrity(tuple(warnings))


def refuse_unknown_labels(rows: Sequence[tuple[str, Example]], labels: LabelSet, owner: Path | None) -> None:
    """Raise DataError for labels outside the set. Rows come with their split's name; `owner` is as in `check`."""
    known = set(labels.names)
    strangers = [
        f"{example.id!r} ({name}) has label {label!r}"
        for name, example in rows
        for label in example.labels
        if label not in known
    ]
    what = "label not in the label set; mend the row or add the label to labels.txt"
    if owner is not None:
        what = (
            f"label not in the label set of {owner}, which knows {len(labels)} labels and cannot learn others; "
            "take it out of the row, or train anew"
        )
    raise_faults(what, strangers)


def read_unlabelled(path: Path, splits: Splits) -> list[Example]:
    """Examples whose labels do not count, for a teacher to label; those that stand in a split already are left
    out, as are doubles. Raises DataError for rows and images that cannot be read."""
    examples = read_examples(path)
    _, broken = _hash_images([("unlabelled", example) for example in examples])
    raise_faults("image missing or unreadable; mend or remove the row", broken)
    known = {content_hash(example) for part in (splits.train, splits.dev, splits.test) for example in part}
    fresh = {name: example for example in examples if (name := content_hash(example)) not in known}
    return list(fresh.values())


def image_hash(path: Path) -> str:
    """Hex SHA-256 of an image file. Raises ImageError when it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def content_hash(example: Example) -> str:
    """Hex SHA-256 over text and image: what a model sees of an example. Raises ImageError."""
    text = example.text.encode("utf-8", "replace")
    image = b"" if example.image is None else image_hash(example.image).encode()
    return hashlib.sha256(image + text).hexdigest()


def _shared_ids(parts: dict[str, list[Example]]) -> list[str]:
    seen: dict[str, str] = {}
    shared = []
    for name, part in parts.items():
        for example in part:
            if seen.setdefault(example.id, name) != name:
                shared.append(f"{example.id!r} in {seen[example.id]} and {name}")
    return shared


def _hash_images(rows: Sequence[tuple[str, Example]]) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    hashes: dict[str, list[tuple[str, str]]] = {}
    broken = []
    for name, example in track(rows, "checking images", len(rows)):
        if example.image is None:
            continue
        try:
            image_to_uint8(example.image, CHECK_SPEC)
            hashes.setdefault(image_hash(example.image), []).append((name, example.id))
        except ImageError as error:
            broken.append(f"{example.id!r} ({name}): {error}")
    return hashes, broken


def _shared_images(hashes: dict[str, list[tuple[str, str]]]) -> list[str]:
    crossing = [places for places in hashes.values() if len({name for name, _ in places}) > 1]
    if not crossing:
        return []
    shown = [" and ".join(f"{id_!r} ({name})" for name, id_ in places) for places in crossing]
    return [f"the same image stands in two splits, which flatters the figures: {_first_few(shown)}"]


def raise_faults(what: str, found: list[str]) -> None:
    """Raise DataError when any were found, with the names of the first ones."""
    if found:
        raise DataError(f"{len(found)} x {what}: {_first_few(found)}")


def _first_few(found: list[str]) -> str:
    more = f", and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    return ", ".join(found[:MAX_LISTED]) + more
