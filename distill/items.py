"""What `predict` is given: a file of rows or a folder of pictures. Knows rows, no models.

Unlike a training set, which is refused whole, a row that cannot be read is passed on as a fault, so that
the others still get their answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.data import SUFFIXES, Example, parse_json, read_rows, to_example
from distill.errors import DataError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Fault:
    """A row that is no Example: its id, or the row's number when it has none."""

    id: str
    error: str


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
            id_ = row.get("id") if isinstance(row, dict) else None
            yield Fault(str(id_) if id_ not in (None, "") else f"row {number}", str(error))


def _json_lines(source: Path) -> Iterator[tuple[int, Any]]:
    """As `read_rows`, but a line that is no JSON is a Fault and not the end of the file."""
    try:
        with source.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.strip():
                    continue
                try:
                    yield number, parse_json(line, f"{source}: row {number}")
                except DataError as error:
                    yield number, Fault(f"row {number}", str(error))
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error


def _pictures(folder: Path) -> Iterator[Example | Fault]:
    files = _picture_files(folder)
    if not files:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    for path in files:
        beside = path.with_suffix(".txt")
        try:
            text = beside.read_text(encoding="utf-8") if beside.is_file() else ""
            yield Example(path.name, text, path, ())
        except (OSError, UnicodeDecodeError) as error:
            yield Fault(path.name, f"{beside}: not readable as UTF-8 text: {error}")


def _picture_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
