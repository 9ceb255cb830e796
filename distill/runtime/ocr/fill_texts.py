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
from distill.core.output.terminal import track
from distill.core.storage.files import atomic_folder, refuse_existing, refuse_overwriting, write_text
from distill.core.untrusted import replace_surrogates, short_repr
from distill.data.columns import Columns
from distill.data.dataset import SUFFIXES, Example, relative_path, say
from distill.data.formats.delimited import SEPARATORS
from distill.data.formats.folders import Part, find_parts
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
class DatasetFile:
    """The rows of a file, or of a folder of classes, and the name of the file that they are written to. `published`
    is the published form in which they were read, and in which they are not written."""

    path: Path
    target: str
    rows: list[DatasetRow]
    published: str


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
    files = [_read_file(part, target, ask, said) for part, target in _parts(source, out is None, ask.columns)]
    rows = [row for file in files for row in file.rows]
    if out is None and (changed := next((file for file in files if file.published), None)):
        raise DataError(
            f"{changed.path}: is read as {changed.published}, into which texts are not filled; give --out FOLDER, "
            "which gets JSON Lines"
        )
    missing = sum(not has_text(row.example.text) for row in rows)
    with _open_cache(cache_path(out or source.resolve()), ocr) as cache:
        faults = tuple(_read(rows, cache, every))
        if out is None:
            for file in files:
                write_text(file.path.resolve(), _text(file.rows, file.path.suffix))  # a link stays one
        else:
            _write_folder(files, source if source.is_dir() else source.parent, out)
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


def _parts(source: Path, in_place: bool, said: Columns) -> list[tuple[Part, str]]:
    """The files or folders with rows, and of each the name of the file to write; shards of a split share one."""
    if not source.is_dir():
        return [(Part.of(source), source.name)]
    parts: dict[Path, tuple[Part, str]] = {}
    listed = [(split, part) for split, each in find_parts(source, said).parts.items() for part in each]
    for number, (split, part) in enumerate(listed):
        if part.column or (in_place and part.keep):  # one file, whose rows keep their order
            parts[part.path] = (Part.of(part.path), part.path.name)
        else:
            own_name = part.path.parent == source and not part.path.is_dir() and part.keep is None
            parts[part.path / str(number)] = (part, part.path.name if own_name else split + part.path.suffix)
    if not parts:
        raise DataError(f"{source}: holds no train, dev or test file ({', '.join(SUFFIXES)}), nor another dataset")
    return list(parts.values())


def _read_file(part: Part, target: str, ask: Ask, said: set[str]) -> DatasetFile:
    path = part.path
    if is_parquet(path):
        raise DataError(
            f"{path}: texts are filled into JSON, JSON Lines, CSV and TSV; give the folder that distill data "
            "convert --to jsonl writes of it"
        )
    opened = open_rows(path, ask, opened=part.open)
    say(path, opened.notes, said)
    reader, text, image = opened.reader, opened.reader.roles.text or "text", opened.reader.roles.image
    # `read` raises for a row that is none.
    pairs = [(row, reader.read(row, number)) for number, row in opened.rows]
    rows = [DatasetRow(row, example, text, image) for row, example in pairs if isinstance(row, dict)]
    published = opened.format if opened.published else ""
    return DatasetFile(path, str(Path(target).with_suffix(".jsonl")) if published else target, rows, published)


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


def _write_folder(files: list[DatasetFile], source: Path, out: Path) -> None:
    """Write the files to a new folder; images stay where they are, and rows name them relative to it."""
    by_target: dict[str, list[DatasetRow]] = {}
    for file in files:
        by_target.setdefault(file.target, []).extend(file.rows)
    with atomic_folder(out) as fresh:
        for target, rows in by_target.items():
            for row in rows:
                if isinstance(row.example.image, Path) and not Path(row.table[row.image_column]).is_absolute():
                    row.table[row.image_column] = relative_path(row.example.image, out)
            write_text(fresh / target, _text(rows, Path(target).suffix))
        for name in LABEL_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, fresh / name)


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
