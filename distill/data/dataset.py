"""Reads datasets: JSON, JSON Lines and CSV files to Examples and Splits."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.inputs import MAX_JSON, bounded_lines, open_input, read_input
from distill.core.untrusted import parse_json, replace_surrogates, short_repr
from distill.data.image_names import find_image, to_data_url
from distill.data.labels import LABEL_FILES, LabelSet

SUFFIXES = (".json", ".jsonl", ".csv")
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "val", "validation"), "test": ("test",)}
MAX_TEXT = 1_000_000  # characters; tokenizers read a whole text before they truncate it
MAX_COLUMNS = 8  # that an error names
MAX_FIELD = (
    10 * MAX_TEXT
)  # of CSV: a text over MAX_TEXT is its row's fault, but an open quote cannot swallow the file


@dataclass(frozen=True)
class Example:
    """One example: its text may be empty or its image None, but not both; `image` is a file, or the content of one.
    `labels` are those that it has, None if nothing is known of them; `unknown_labels` are those of which it is not
    known whether it has them."""

    id: str
    text: str
    image: Path | bytes | None
    labels: tuple[str, ...] | None
    unknown_labels: tuple[str, ...] = ()

    def named_labels(self) -> tuple[str, ...]:
        """Every label that its row names, known or not."""
        return (*(self.labels or ()), *self.unknown_labels)


def encode_targets(examples: Sequence[Example], labels: LabelSet) -> NDArray[np.float32]:
    """Targets float32 (N, L): 1 for a label that the example has, 0 for one that it has not, NaN where unknown.
    Raises DataError for a label outside the set."""
    targets = labels.encode([example.labels or () for example in examples])
    unknown = labels.encode([example.unknown_labels for example in examples])
    without_any = np.array([example.labels is None for example in examples], dtype=bool)
    targets[(unknown == 1) | without_any[:, None]] = np.nan
    return targets


def without_images(examples: Sequence[Example]) -> list[Example]:
    """The examples with their texts alone."""
    return [replace(example, image=None) for example in examples]


def without_texts(examples: Sequence[Example]) -> list[Example]:
    """The examples with their images alone."""
    return [replace(example, text="") for example in examples]


@dataclass(frozen=True)
class Splits:
    """A dataset divided into train, dev and test, which may be empty; `unlabelled` are training examples of which
    no label is known."""

    labels: LabelSet
    train: list[Example]
    dev: list[Example]
    test: list[Example]
    unlabelled: list[Example] = field(default_factory=list)

    def examples(self, name: str) -> list[Example]:
        """The examples of a split. Raises DataError if it is empty or unknown."""
        if name not in SPLIT_NAMES:
            raise DataError(f"unknown split {name!r}; expected {', '.join(SPLIT_NAMES)}")
        examples: list[Example] = getattr(self, name)
        if not examples:
            raise DataError(f"the dataset has no {name} split; add {name}.json, {name}.jsonl or {name}.csv")
        return examples

    def with_known_labels(self) -> Splits:
        """Without the examples of which no label is known; those of train move to `unlabelled`, and a test split
        of which none is known, as where they are kept secret, stays whole."""
        train, dev, test = ([e for e in part if e.labels is not None] for part in (self.train, self.dev, self.test))
        unlabelled = [*self.unlabelled, *(e for e in self.train if e.labels is None)]
        return replace(self, train=train, dev=dev, test=test or self.test, unlabelled=unlabelled)


def read_splits(source: Path, labels: LabelSet | None = None) -> Splits:
    """Read a folder with train, dev and perhaps test files, or one file, which is split 70/15/15.

    The label set is `labels` (that of an existing run), else labels.txt or techniques.txt beside the data, else the
    labels of the training rows. Raises DataError.
    """
    if source.is_file():
        from distill.data.division import divide

        rows = read_examples(source)
        labels = labels or find_labels(source.parent) or collect_labels(rows, source)
        train, dev, test = ([rows[index] for index in part] for part in divide(rows, labels, source))
        return Splits(labels, train, dev, test)
    if not source.is_dir():
        raise DataError(f"{source}: no such file or folder; --data takes a folder with train.json, or one file")
    files = {name: find_split(source, name) for name in SPLIT_NAMES}
    for name in ("train", "dev"):
        if files[name] is None:
            raise DataError(f"{source}: no {name}.json, {name}.jsonl or {name}.csv; `distill split` makes them")
    train, dev, test = (read_examples(path) if path else [] for path in files.values())
    labels = labels or find_labels(source) or collect_labels(train, source)
    return Splits(labels, train, dev, test)


def read_examples(path: Path) -> list[Example]:
    """All rows of a file. Raises DataError with the number of the first invalid row."""
    examples = [parse_example(row, path, number) for number, row in read_rows(path)]
    check_ids(examples, path)
    return examples


def check_ids(examples: Sequence[Example], path: Path) -> None:
    """Raise DataError for a file without rows, or with an id twice."""
    if not examples:
        raise DataError(f"{path}: has no rows")
    row_of: dict[str, int] = {}
    for number, example in enumerate(examples, 1):
        if example.id in row_of:
            rows = f"rows {row_of[example.id]} and {number}"
            raise DataError(f"{path}: {rows} have the same id {short_repr(example.id)}; ids must be unique")
        row_of[example.id] = number


def collect_labels(rows: Sequence[Example], source: Path) -> LabelSet:
    """The labels that the rows of a file or folder name, in alphabetical order. Raises DataError, which names
    it."""
    if not any(row.labels for row in rows):
        raise DataError(
            f"{source}: none of its {len(rows)} training rows has a label; give each its 'labels', a list of names"
        )
    try:
        return LabelSet.collect(row.named_labels() for row in rows)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(row number from 1, parsed row) of a JSON list, JSON Lines or CSV file; all but JSON lists are streamed.

    A CSV row of the wrong length is yielded as a DataError, which `parse_example` raises, so that a caller can skip
    it. Raises DataError for a file that cannot be read."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".json":
            yield from enumerate(_json_list(path), 1)
        elif path.suffix == ".jsonl":
            with io.TextIOWrapper(open_input(path, DataError), encoding="utf-8-sig") as handle:
                for number, line in enumerate(bounded_lines(handle, path, DataError), 1):
                    if line.strip():
                        yield number, parse_json(line, f"{path}: row {number}", DataError)
        else:
            with io.TextIOWrapper(open_input(path, DataError), encoding="utf-8-sig", newline="") as handle:
                yield from enumerate(_csv_rows(bounded_lines(handle, path, DataError), path), 1)
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error


def parse_example(row: Any, path: Path, number: int) -> Example:
    """One parsed row to an Example. The image is found as `find_image` says, and not opened. Raises DataError."""
    where = f"{path}: row {number}"
    if isinstance(row, DataError):
        raise row
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with id, text, image and labels; got {short_repr(row)}")
    id_, text, name = (row.get(key) for key in ("id", "text", "image"))
    if id_ in (None, ""):
        raise DataError(f"{where}: has no 'id'; every row needs one. It has {_columns(row)}")
    if not isinstance(text, str | None):
        raise DataError(f"{where}: text must be a string; got {short_repr(text)}")
    if not name and not (text or "").strip():
        raise DataError(
            f"{where}: has neither 'text' nor 'image'; every row needs one of them. It has {_columns(row)}"
        )
    if not isinstance(id_, str | int) or isinstance(id_, bool):
        raise DataError(f"{where}: id must be a string or a whole number; got {short_repr(id_)}")
    if not isinstance(name, str | None):
        raise DataError(f"{where}: image must be a file name; got {short_repr(name)}")
    if len(text or "") > MAX_TEXT:
        raise DataError(
            f"{where}: text has {len(text or ''):,} characters, over the limit of {MAX_TEXT:,}; shorten it"
        )
    if replace_surrogates(str(id_)) != str(id_):
        raise DataError(f"{where}: id {id_!r} holds a lone surrogate, half a character; write it as UTF-8")
    image = find_image(path, name, where) if name else None
    # Tokenizers and files would replace surrogates later; here every reader sees the same text.
    return Example(str(id_), replace_surrogates(text or ""), image, *_labels(row.get("labels"), where))


def _columns(names: Iterable[Any]) -> str:
    """What was found in place of a missing column."""
    found = [short_repr(name) for name in itertools.islice(names, MAX_COLUMNS + 1)]
    return ", ".join(found[:MAX_COLUMNS]) + ", ..." * (len(found) > MAX_COLUMNS) if found else "none"


def _labels(value: Any, where: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The labels that a row has, None if it says nothing of them, and those that it names as unknown."""
    if value is None:
        return None, ()
    if isinstance(value, dict):
        strange = [
            x for x in value.values() if x is not None and (not isinstance(x, int | float) or x not in (0, 1))
        ]
        if strange:
            raise DataError(
                f"{where}: labels must map each name to 1, 0 or, where unknown, null; got {short_repr(strange[0])}"
            )
        unknown = tuple(name for name, x in value.items() if x is None)
        if unknown and len(unknown) == len(value):
            return None, unknown
        return tuple(name for name, x in value.items() if x), unknown
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise DataError(
            f"{where}: labels must be a list of names, names joined with |, or a name with 1, 0 or null each; "
            f"got {short_repr(value)}"
        )
    return tuple(dict.fromkeys(value)), ()


def labels_to_json(example: Example) -> list[str] | dict[str, int | None] | None:
    """An example's labels in the form that its row would have: names, or, where some are unknown, a name with 1 or
    null each."""
    if example.labels is None or not example.unknown_labels:
        return None if example.labels is None else list(example.labels)
    return dict.fromkeys(example.labels, 1) | dict.fromkeys(example.unknown_labels, None)


def find_split(folder: Path, name: str) -> Path | None:
    """The file of a split, None if there is none. Raises DataError if there are two."""
    candidates = (folder / (alias + suffix) for alias in SPLIT_NAMES[name] for suffix in SUFFIXES)
    files = [path for path in candidates if path.is_file()]
    if len(files) > 1:
        raise DataError(f"{folder}: both {files[0].name} and {files[1].name} could be the {name} split; keep one")
    return files[0] if files else None


def find_labels(folder: Path) -> LabelSet | None:
    """The label set declared in a file beside the data, if there is one."""
    for name in LABEL_FILES:
        if (folder / name).is_file():
            return LabelSet.read(folder / name)
    return None


def _json_list(path: Path) -> list[Any]:
    tree = parse_json(read_input(path, MAX_JSON, DataError).decode("utf-8-sig"), str(path), DataError)
    if not isinstance(tree, list):
        raise DataError(f"{path}: expected a JSON list of rows; got {short_repr(tree)}")
    return tree


def _csv_rows(handle: Iterable[str], path: Path) -> Iterator[dict[str, str] | DataError]:
    csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # global to the process: raised, never lowered
    reader = csv.DictReader(handle, strict=True)
    try:
        columns = reader.fieldnames or []
        missing = [name for name in ("id", "text", "image") if name not in columns]
        if missing:
            raise DataError(
                f"{path}: the header has no column {missing[0]!r}; it needs id,text,image,labels. It has "
                f"{_columns(columns)}"
            )
        doubled = [name for name in ("id", "text", "image", "labels") if columns.count(name) > 1]
        if doubled:
            raise DataError(f"{path}: the header has two columns {doubled[0]!r}; keep one of them")
        for row in reader:
            if None in row or None in row.values():
                where = f"{path}: line {reader.line_num}"
                yield DataError(f"{where}: expected {len(columns)} fields; check the quoting")
            else:
                yield row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: broken CSV: {error}") from error


def relative_path(path: Path, start: Path) -> str:
    """`path` relative to the folder `start`, with links to folders resolved first: after a link, `..` would leave
    the wrong folder."""
    return Path(os.path.relpath(path.parent.resolve() / path.name, start.resolve())).as_posix()


def image_name(image: Path | bytes | None, relative_to: Path) -> str | None:
    """What a row in the folder `relative_to` names an image by."""
    if isinstance(image, Path):
        return relative_path(image, relative_to)
    return None if image is None else to_data_url(image)


def examples_to_json(
    examples: Iterable[Example], relative_to: Path, image_names: Mapping[str, str] | None = None
) -> str:
    """The content of a JSON file for `read_examples`, with image paths relative to the folder `relative_to`; by the
    ids of some examples, what to write in place of these."""
    kept = image_names or {}
    rows = [
        {
            "id": example.id,
            "labels": labels_to_json(example),
            "text": example.text,
            "image": kept.get(example.id) or image_name(example.image, relative_to),
        }
        for example in examples
    ]
    buffer = io.StringIO()
    json.dump(rows, buffer, indent=1, ensure_ascii=False)
    return buffer.getvalue() + "\n"
