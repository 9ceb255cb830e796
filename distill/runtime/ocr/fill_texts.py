"""Fills the missing texts of a dataset with what is read off its images: `distill data ocr`.

A row keeps all its columns, unknown ones too. A row that was filled is marked with "text_from": "ocr".
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
from distill.core.files import atomic_folder, refuse_existing, refuse_overwriting, write_text
from distill.core.terminal import track
from distill.core.untrusted import replace_surrogates, short_repr
from distill.data.columns import Columns
from distill.data.dataset import SPLIT_NAMES, SUFFIXES, Example, find_split, relative_path, say
from distill.data.formats.delimited import SEPARATORS
from distill.data.formats.json_rows import LINES_SUFFIXES
from distill.data.formats.parquet import is_parquet
from distill.data.labels import LABEL_FILES
from distill.data.roles import Ask
from distill.data.rows import open_rows
from distill.preprocess.text import has_text
from distill.runtime.ocr.cache import Ocr, OcrCache, cache_path

TEXT_FROM, OCR = "text_from", "ocr"
OCR_TEXT = "ocr_text"  # the column of --all
MAX_FAULTS_SHOWN = 5  # the others are only counted


@dataclass
class DatasetRow:
    """One row as it stands in its file, the Example made of it, and the columns of its text and its image."""

    table: dict[str, Any]
    example: Example
    text_column: str
    image_column: str


@dataclass(frozen=True)
class FillReport:
    """The number of rows, of rows without a text before and after, and what is wrong with unreadable images."""

    rows: int
    missing: int
    still_missing: int
    faults: tuple[str, ...]


def fill_texts(
    source: Path, out: Path | None, ocr: Ocr, every: bool, columns: Columns | None = None, overwrite: bool = False
) -> FillReport:
    """Fill `source`, a dataset's folder or one file, into the new folder `out`, or in place of
    such a one to `overwrite`; in place where that is None.

    `every` reads all images into the column OCR_TEXT, and not only those of rows without text. A killed run
    continues where it stopped. Raises DataError and OutputError.
    """
    if out is not None:
        names = {path.name for path in (source.iterdir() if source.is_dir() else [source])}
        refuse_overwriting(out, source)
        refuse_existing(
            out, overwrite, lambda folder: {p.name for p in folder.iterdir()} <= names, f"a copy of {source}"
        )
    out = None if out is None else out.resolve()  # rows name their images relative to where a link leads
    ask, said = Ask(columns or Columns(), wants_labels=False), set[str]()
    files = {path: _rows(path, ask, said) for path in _files(source)}
    rows = [row for part in files.values() for row in part]
    missing = sum(not has_text(row.example.text) for row in rows)
    with _open_cache(cache_path(out or source.resolve()), ocr) as cache:
        faults = tuple(_read(rows, cache, every))
        if out is None:
            for path, part in files.items():
                write_text(path.resolve(), _text(part, path.suffix))  # a link stays one
        else:
            _write_folder(files, out)
        cache.discard()
    still = sum(not has_text(row.table.get(row.text_column) or "") for row in rows)
    return FillReport(len(rows), missing, still, faults)


@contextmanager
def _open_cache(path: Path, ocr: Ocr) -> Iterator[OcrCache]:
    """An OcrCache; a KeyboardInterrupt says that it stays."""
    with OcrCache(path, ocr) as cache:
        try:
            yield cache
        except KeyboardInterrupt:
            message = f"the texts of {cache.count:,} images are in {path}; the same command continues there"
            raise KeyboardInterrupt(message) from None


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    paths = [path for name in SPLIT_NAMES if (path := find_split(source, name)) is not None]
    if not paths:
        raise DataError(f"{source}: holds no train, dev or test file ({', '.join(SUFFIXES)})")
    return paths


def _rows(path: Path, ask: Ask, said: set[str]) -> list[DatasetRow]:
    if is_parquet(path):
        raise DataError(f"{path}: texts are filled into JSON, JSON Lines, CSV and TSV; save it as one of them")
    opened = open_rows(path, ask)
    if opened.published:
        raise DataError(
            f"{path}: is read in a published form ({'; '.join(opened.notes)}), into which texts are not filled; "
            "name its columns, or divide it with distill split first"
        )
    say(path, opened.notes, said)
    reader, text, image = opened.reader, opened.reader.roles.text or "text", opened.reader.roles.image
    # `read` raises for a row that is none.
    pairs = [(row, reader.read(row, number)) for number, row in opened.rows]
    return [DatasetRow(row, example, text, image) for row, example in pairs if isinstance(row, dict)]


def _read(rows: list[DatasetRow], cache: OcrCache, every: bool) -> Iterator[str]:
    """Fill the rows, and yield what is wrong with unreadable images."""
    wanted = [row for row in rows if row.example.image and (every or not has_text(row.example.text))]
    for row in track(wanted, "reading images", len(wanted)):
        assert row.example.image is not None
        try:
            text = cache.read(row.example.image)
        except ImageError as error:
            yield f"{short_repr(row.example.id)}: {error}"
            continue
        if every:
            row.table[OCR_TEXT] = text
        if text and not has_text(row.example.text):
            row.table |= {row.text_column: text, TEXT_FROM: OCR}


def _write_folder(files: dict[Path, list[DatasetRow]], out: Path) -> None:
    """Write the files to a new folder; images stay where they are, and rows name them relative to it."""
    with atomic_folder(out) as fresh:
        for path, rows in files.items():
            for row in rows:
                if isinstance(row.example.image, Path) and not Path(row.table[row.image_column]).is_absolute():
                    row.table[row.image_column] = relative_path(row.example.image, out)
            write_text(fresh / path.name, _text(rows, path.suffix))
        for name in LABEL_FILES:
            label_file = next(iter(files)).parent / name
            if label_file.is_file():
                shutil.copyfile(label_file, fresh / name)


def _text(rows: list[DatasetRow], suffix: str) -> str:
    """A file's content, in the format of its suffix."""
    if suffix.lower() in SEPARATORS:
        return _csv([row.table for row in rows], SEPARATORS[suffix.lower()])
    if suffix.lower() in LINES_SUFFIXES:
        return "".join(_json(row.table) + "\n" for row in rows)
    return _json([row.table for row in rows], indent=1) + "\n"


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Half a surrogate pair in an unknown column stays what it is, as an escape.
    return text if replace_surrogates(text) == text else json.dumps(value, indent=indent)


def _csv(tables: list[dict[str, Any]], separator: str) -> str:
    columns = list(dict.fromkeys(column for table in tables for column in table))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n", delimiter=separator)
    writer.writeheader()
    writer.writerows(tables)
    return buffer.getvalue()
