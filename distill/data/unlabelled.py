"""Rows of which a teacher alone says the labels: read, and without those that a measurement or a label has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.output.terminal import warn
from distill.data.checks import content_hash, image_faults
from distill.data.column_survey import LONG_TEXT
from distill.data.dataset import Example, Splits, read_examples
from distill.data.duplicates import image_groups
from distill.data.image_facts import facts_of, read_facts
from distill.data.likeness import text_key
from distill.data.roles import Ask

MEASURED = "have the text or the image of a dev or test row"
LABELLED = "are in train"
REPEATED = "repeat another"


def read_unlabelled(path: Path, splits: Splits) -> list[Example]:
    """The `fresh` examples of a file for a teacher to label; their own labels are not used. Raises DataError for
    rows and images that cannot be read."""
    return fresh(_read(path, splits), splits, path)


def with_unlabelled(splits: Splits, path: Path | None) -> Splits:
    """With the examples of a file beside the dataset's own unlabelled ones, those of `fresh`. Raises as
    `read_unlabelled`."""
    more = [] if path is None else _read(path, splits)
    return replace(splits, unlabelled=fresh([*splits.unlabelled, *more], splits, path))


def fresh(examples: Sequence[Example], splits: Splits, path: Path | None) -> list[Example]:
    """The examples that are new, each content once; the others are counted in a warning, which names the file.

    In train, an example of the same text and image has labels already. A dev or test row must not be trained on:
    not its text alone, up to how it is written and if it is longer than a few words, nor an image that looks the
    same.
    """
    if not examples:
        return []
    measured = [*splits.dev, *splits.test]
    looks = image_groups(read_facts([example.image for example in (*measured, *examples)]))
    taboo = {key for example, look in zip(measured, looks, strict=False) for key in _keys(example, look)}
    labelled = set(map(content_hash, splits.train))
    kept: dict[str, Example] = {}
    left_out: Counter[str] = Counter()
    for example, look in zip(examples, looks[len(measured) :], strict=True):
        hash_ = content_hash(example)
        if not taboo.isdisjoint(_keys(example, look)):
            left_out[MEASURED] += 1
        elif hash_ in labelled:
            left_out[LABELLED] += 1
        elif hash_ in kept:
            left_out[REPEATED] += 1
        else:
            kept[hash_] = example
    if left_out:
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.items())
        where = f"{path}: " if path else ""
        warn(f"{where}{left_out.total()} of {len(examples)} unlabelled rows are left out: {reasons}")
    return list(kept.values())


def _keys(example: Example, look: int | None) -> Iterator[Hashable]:
    """What an example must not share with one of dev or test."""
    yield content_hash(example)
    if words := text_key(example.text):  # emoji are no words
        yield "both", words, look
    if words.count(" ") + 1 >= LONG_TEXT:
        yield "text", words
    if look is not None:
        yield "image", look


def _read(path: Path, splits: Splits) -> list[Example]:
    examples = read_examples(path, Ask(remembered=splits.columns, wants_labels=False))
    _, broken = facts_of([("unlabelled", example) for example in examples])
    for fault in image_faults(broken):
        raise DataError(fault)
    return [replace(example, labels=None, unknown_labels=()) for example in examples]
