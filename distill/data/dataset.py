"""Reading datasets: JSON, JSONL and CSV into Examples. Knows rows and files, not models."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import is_file, parse_json, replace_surrogates, short_repr
from distill.data.labels import LABEL_FILES, LabelSet

SUFFIXES = (".json", ".jsonl", ".csv")
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "val", "validation"), "test": ("test",)}
IMAGE_FOLDERS = ("", "images")
MAX_TEXT = 1_000_000  # characters; tokenizers read a text whole before they cut it, and a meme has no such text
MAX_FIELD = 10 * MAX_TEXT  # of CSV: too long a text is its row's fault, and an open quote does not take in the file


@dataclass(frozen=True)
class Example:
    """One post: `labels` is empty when it has none or when they are not known. `text` may be empty or `image`
    None, not both."""

    id: str
    text: str
    image: Path | None
    labels: tuple[str, ...]


def without_images(examples: Sequence[Example]) -> list[Example]:
    """The texts alone."""
    return [replace(example, image=None) for example in examples]


def without_texts(examples: Sequence[Example]) -> list[Example]:
    """The images alone."""
    return [replace(example, text="") for example in examples]


@dataclass(frozen=True)
class Splits:
    """A dataset as a run uses it; `test` may be empty."""

    labels: LabelSet
    train: list[Example]
    dev: list[Example]
    test: list[Example]

    def examples(self, name: str) -> list[Example]:
        """The split of that name. Raises DataError when it is empty or unknown."""
        if name not in SPLIT_NAMES:
            raise DataError(f"split {name!r} is not one of {', '.join(SPLIT_NAMES)}")
        examples: list[Example] = getattr(self, name)
        if not examples:
            raise DataError(f"the dataset has no {name} split; add {name}.json, {name}.jsonl or {name}.csv")
        return examples


def read_splits(source: Path, labels: LabelSet | None = None) -> Splits:
    """A folder with train and dev files (and perhaps test), or one file that is split 70/15/15.

    `labels` fixes the label set (an existing run's); otherwise it comes from labels.txt or
    techniques.txt beside the data, else from the train rows. Raises DataError.
    """
    if source.is_file():
        from distill.data.stratify import SHARES, SPLIT_SEED, stratified_split

        rows = read_examples(source)
        labels = labels or find_labels(source.parent) or LabelSet.collect(row.labels for row in rows)
        # A label outside the set is left to the integrity check, which finds all of them and says what to do.
        inside = [[label for label in row.labels if label in labels.names] for row in rows]
        parts = stratified_split(labels.encode(inside), tuple(SHARES.values()), SPLIT_SEED)
        train, dev, test = ([rows[index] for index in part] for part in parts)
        return Splits(labels, train, dev, test)
    if not source.is_dir():
        raise DataError(f"{source}: no such file or folder; --data takes a folder with train.json, or one file")
    found = {name: find_split(source, name) for name in SPLIT_NAMES}
    for name in ("train", "dev"):
        if found[name] is None:
            raise DataError(f"{source}: no {name}.json, {name}.jsonl or {name}.csv; `distill split` makes them")
    train, dev, test = (read_examples(path) if path else [] for path in found.values())
    labels = labels or find_labels(source) or LabelSet.collect(row.labels for row in train)
    return Splits(labels, train, dev, test)


def read_examples(path: Path) -> list[Example]:
    """All rows of one file, whole or not at all. Raises DataError with the row's number."""
    examples = [parse_example(row, path, number) for number, row in read_rows(path)]
    if not examples:
        raise DataError(f"{path}: holds no rows")
    seen: dict[str, int] = {}
    for number, example in enumerate(examples, 1):
        if example.id in seen:
            raise DataError(
                f"{path}: id {example.id!r} stands in rows {seen[example.id]} and {number}; ids are unique"
            )
        seen[example.id] = number
    return examples


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(row number from 1, parsed row) of a JSON list, JSON lines or CSV file, streamed where the form allows.

    A CSV row of the wrong length comes as the DataError that `to_example` raises, so that a reader may go on."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".json":
            yield from enumerate(_json_list(path), 1)
        elif path.suffix == ".jsonl":
            with path.open(encoding="utf-8-sig") as handle:
                for number, line in enumerate(handle, 1):
                    if line.strip():
                        yield number, parse_json(line, f"{path}: row {number}", DataError)
        else:
            with path.open(encoding="utf-8-sig", newline="") as handle:
                yield from enumerate(_csv_rows(handle, path), 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error


def parse_example(row: Any, path: Path, number: int) -> Example:
    """One parsed row to an Example; the image is looked for beside the file, in images/ and in the
    folder of the split's name. Raises DataError; the image itself is not opened."""
    where = f"{path}: row {number}"
    if isinstance(row, DataError):
        raise row
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with id, text, image and labels; got {type(row).__name__}")
    id_, text, name = (row.get(key) for key in ("id", "text", "image"))
    if id_ in (None, ""):
        raise DataError(f"{where}: has no 'id'; every row needs one")
    if not isinstance(text, str | None):
        raise DataError(f"{where}: text must be a string; got {short_repr(text)}")
    if not name and not (text or "").strip():
        raise DataError(f"{where}: has neither 'text' nor 'image'; every row needs one of them")
    if not isinstance(id_, str | int) or isinstance(id_, bool):
        raise DataError(f"{where}: id must be a string or a whole number; got {short_repr(id_)}")
    if not isinstance(name, str | None):
        raise DataError(f"{where}: image must be a file name; got {short_repr(name)}")
    if len(text or "") > MAX_TEXT:
        raise DataError(f"{where}: text has {len(text or ''):,} characters, over the limit of {MAX_TEXT:,}; cut it")
    if replace_surrogates(str(id_)) != str(id_):
        raise DataError(f"{where}: id {id_!r} holds half a character (a lone surrogate); write it as UTF-8")
    image = _find_image(path, name, where) if name else None
    # What tokenizers and files make of half a character, here already: no file could be written with it.
    return Example(str(id_), replace_surrogates(text or ""), image, _labels(row.get("labels"), where))


def _labels(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise DataError(f"{where}: labels must be a list of names, or names joined with |; got {short_repr(value)}")
    return tuple(dict.fromkeys(value))


def _find_image(path: Path, name: str, where: str) -> Path:
    if "\0" in name:
        raise DataError(f"{where}: image name {short_repr(name)} holds a NUL character")
    candidates = [path.parent / folder / name for folder in (*IMAGE_FOLDERS, path.stem)]
    for candidate in candidates:
        if is_file(candidate):
            return candidate
    return candidates[0]  # reported by the integrity check, together with every other missing one


def find_split(folder: Path, name: str) -> Path | None:
    """The one file that holds a split, None without one. Raises DataError for two."""
    found = [
        folder / (alias + s) for alias in SPLIT_NAMES[name] for s in SUFFIXES if (folder / (alias + s)).is_file()
    ]
    if len(found) > 1:
        raise DataError(f"{folder}: both {found[0].name} and {found[1].name} could be the {name} split; keep one")
    return found[0] if found else None


def find_labels(folder: Path) -> LabelSet | None:
    """The label set declared beside the data, if one is."""
    for name in LABEL_FILES:
        if (folder / name).is_file():
            return LabelSet.read(folder / name)
    return None


def _json_list(path: Path) -> list[Any]:
    tree = parse_json(path.read_text(encoding="utf-8-sig"), str(path), DataError)
    if not isinstance(tree, list):
        raise DataError(f"{path}: expected a JSON list of rows; got {type(tree).__name__}")
    return tree


def _csv_rows(handle: Iterable[str], path: Path) -> Iterator[dict[str, str] | DataError]:
    csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # the process's own: raised, and never lowered
    reader = csv.DictReader(handle, strict=True)
    try:
        columns = reader.fieldnames or []
        missing = [name for name in ("id", "text", "image") if name not in columns]
        if missing:
            raise DataError(f"{path}: the header has no column {missing[0]!r}; it needs id,text,image,labels")
        doubled = [name for name in ("id", "text", "image", "labels") if columns.count(name) > 1]
        if doubled:
            raise DataError(f"{path}: the header has two columns {doubled[0]!r}; keep one of them")
        for row in reader:
            if None in row or None in row.values():
                where = f"{path}: line {reader.line_num}"
                yield DataError(f"{where}: has not {len(columns)} fields; check the quoting")
            else:
                yield row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: broken CSV: {error}") from error


def relative_path(folder: Path, image: Path) -> str:
    """An image's path from a folder. Links to folders are followed first: `..` leaves the folder that is meant."""
    return Path(os.path.relpath(image.parent.resolve() / image.name, folder.resolve())).as_posix()


def examples_to_json(examples: Iterable[Example], relative_to: Path) -> str:
    """The text of a JSON file in the form that `read_examples` reads, images relative to `relative_to`."""
    rows = [
        {
            "id": example.id,
            "labels": list(example.labels),
            "text": example.text,
            "image": None if example.image is None else relative_path(relative_to, example.image),
        }
        for example in examples
    ]
    buffer = io.StringIO()
    json.dump(rows, buffer, indent=1, ensure_ascii=False)
    return buffer.getvalue() + "\n"
