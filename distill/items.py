"""What `predict` is given: a file of rows or a folder of pictures. Knows rows, no models.

Unlike a training set, which is refused whole, a row that cannot be read is passed on as a fault, so that
the others still get their answers.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.data import MAX_TEXT, SUFFIXES, Example, read_rows, to_example
from distill.errors import DataError
from distill.untrusted import parse_json, printable

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Fault:
    """A row that is no Example: its id, or the row's number when it has none. Both can be printed."""

    id: str
    error: str

    def __post_init__(self) -> None:
        for name in ("id", "error"):  # a file's name may hold bytes that are no text
            object.__setattr__(self, name, printable(getattr(self, name)))


def read_items(source: Path) -> Iterator[Example | Fault]:
    """Rows of a JSON, JSONL or CSV file, or the pictures of a folder with their text in NAME.txt beside
    them, sorted by name. Raises DataError when `source` itself cannot be read."""
    if source.is_dir():
        yield from _pictures(source)
    elif source.suffix in SUFFIXES:
        yield from _rows(source)
    else:
        raise DataError(f"{source}: give a folder of pictures or a file ending in {', '.join(SUFFIXES)}")


def count_items(source: Path) -> int | None:
    """How many there will be, where that is cheap to know: for the progress bar."""
    if source.is_dir():
        return len(_picture_files(source))
    if source.suffix == ".jsonl" and source.is_file():
        with source.open("rb") as handle:
            return sum(1 for line in handle if line.strip())
    return None


def _rows(source: Path) -> Iterator[Example | Fault]:
    for number, row in _json_lines(source) if source.suffix == ".jsonl" else read_rows(source):
        if isinstance(row, Fault):
            yield row
            continue
        try:
            yield to_example(row, source, number)
        except DataError as error:
            yield Fault(_name(row, number), str(error))


def _name(row: Any, number: int) -> str:
    id_ = row.get("id") if isinstance(row, dict) else None
    named = isinstance(id_, str | int) and not isinstance(id_, bool) and id_ != ""
    return str(id_) if named else f"row {number}"


def _json_lines(source: Path) -> Iterator[tuple[int, Any]]:
    """As `read_rows`, but a line that is no JSON is a Fault and not the end of the file."""
    try:
        with source.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.strip():
                    continue
                try:
                    yield number, parse_json(line, f"{source}: row {number}", DataError)
                except DataError as error:
                    yield number, Fault(f"row {number}", str(error))
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error


def _pictures(folder: Path) -> Iterator[Example | Fault]:
    files = _picture_files(folder)
    if not files:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    for path in files:
        try:
            yield Example(printable(path.name), _text_beside(path), path, ())
        except DataError as error:
            yield Fault(path.name, str(error))


def _text_beside(picture: Path) -> str:
    """What NAME.txt says, "" when there is none. Raises DataError where there is one that cannot be used."""
    path = picture.with_suffix(".txt")
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise DataError(f"{path}: is not a plain file")
        if kind.st_size > 4 * MAX_TEXT:
            raise DataError(f"{path}: has {kind.st_size:,} bytes, over the limit of {4 * MAX_TEXT:,}; cut it")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error


def _picture_files(folder: Path) -> list[Path]:
    """Whatever is named like a picture: what is none of it gets a line that says so, and is not passed over."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
