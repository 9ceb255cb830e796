"""A dataset's missing texts, read off its images and written down. Knows rows and files, no way of reading.

A row keeps all that it has, unknown columns too; one that was filled says so: "text_from": "ocr".
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import DataError, ImageError
from distill.core.files import atomic_folder, write_text
from distill.core.terminal import track
from distill.core.untrusted import replace_surrogates
from distill.data.dataset import SPLIT_NAMES, SUFFIXES, Example, find_split, parse_example, read_rows, relative_path
from distill.data.labels import LABEL_FILES
from distill.preprocess.text import has_text
from distill.runtime.ocr.cache import Readings, Reads, beside

MARK, OCR = "text_from", "ocr"
READ = "ocr_text"  # the field of --all
SHOWN = 5  # faults; the rest is counted


@dataclass
class Row:
    """One row as it stands in its file, and what it means."""

    table: dict[str, Any]
    example: Example


@dataclass(frozen=True)
class Filled:
    """What came of it: rows in all, those without a text before and after, and the images that cannot be read."""

    rows: int
    missing: int
    still_missing: int
    faults: tuple[str, ...]


def fill_texts(source: Path, out: Path | None, reader: Reads, every: bool) -> Filled:
    """Fill `source`, a dataset's folder or one file, into the new folder `out`; in place where that is None.

    `every` reads all images, into READ, and not only those of rows without text. A killed run goes on where it
    was. Raises DataError and OutputError.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not empty; choose a new folder for --out")
    out = None if out is None else out.resolve()  # where a link leads is where images are named from
    files = {path: _rows(path) for path in _files(source)}
    rows = [row for part in files.values() for row in part]
    missing = sum(not has_text(row.example.text) for row in rows)
    with _remembered(beside(out or source.resolve()), reader) as readings:
        faults = tuple(_read(rows, readings, every))
        if out is None:
            for path, part in files.items():
                write_text(path.resolve(), _text(part, path.suffix))  # a link stays one
        else:
            _write_folder(files, out)
        readings.done()
    still = sum(not has_text(row.table.get("text") or "") for row in rows)
    return Filled(len(rows), missing, still, faults)


@contextmanager
def _remembered(path: Path, reader: Reads) -> Iterator[Readings]:
    """Readings that a killed run finds again. KeyboardInterrupt says so."""
    with Readings(path, reader) as readings:
        try:
            yield readings
        except KeyboardInterrupt:
            what = f"{readings.count:,} images are read, in {path}; the same command goes on there"
            raise KeyboardInterrupt(what) from None


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    found = [path for name in SPLIT_NAMES if (path := find_split(source, name)) is not None]
    if not found:
        raise DataError(f"{source}: holds no train, dev or test file ({', '.join(SUFFIXES)})")
    return found


def _rows(path: Path) -> list[Row]:
    return [Row(row, parse_example(row, path, number)) for number, row in read_rows(path)]


def _read(rows: list[Row], readings: Readings, every: bool) -> Iterator[str]:
    """Fill the rows; yields what is wrong with an image."""
    wanted = [row for row in rows if row.example.image and (every or not has_text(row.example.text))]
    for row in track(wanted, "reading images", len(wanted)):
        assert row.example.image is not None
        try:
            text = readings.read(row.example.image)
        except ImageError as error:
            yield f"{row.example.id!r}: {error}"
            continue
        if every:
            row.table[READ] = text
        if text and not has_text(row.example.text):
            row.table |= {"text": text, MARK: OCR}


def _write_folder(files: dict[Path, list[Row]], out: Path) -> None:
    """Images stay where they are, and rows name them from there."""
    with atomic_folder(out) as fresh:
        for path, rows in files.items():
            for row in rows:
                if row.example.image is not None and not Path(row.table["image"]).is_absolute():
                    row.table["image"] = relative_path(row.example.image, out)
            write_text(fresh / path.name, _text(rows, path.suffix))
        for name in LABEL_FILES:
            beside_it = next(iter(files)).parent / name
            if beside_it.is_file():
                shutil.copyfile(beside_it, fresh / name)


def _text(rows: list[Row], suffix: str) -> str:
    """A file's content, of the form that its suffix says."""
    if suffix == ".csv":
        return _csv([row.table for row in rows])
    if suffix == ".jsonl":
        return "".join(_json(row.table) + "\n" for row in rows)
    return _json([row.table for row in rows], indent=1) + "\n"


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Half a character in a column that is none of ours stays what it is, as an escape.
    return text if replace_surrogates(text) == text else json.dumps(value, indent=indent)


def _csv(tables: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for table in tables for column in table))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(tables)
    return buffer.getvalue()
