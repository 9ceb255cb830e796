"""The input of `predict`: one row, a file of rows, or a folder of images or Parquet files.

A row that cannot be read becomes a FailedRow, so that the others still get their predictions; a training set with
such a row is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from distill.core.errors import DataError
from distill.core.storage.files import sha256_of
from distill.core.storage.inputs import bounded_lines, open_input
from distill.core.untrusted import is_file, replace_surrogates
from distill.data.checks import content_hash
from distill.data.columns import Columns, list_columns
from distill.data.dataset import SUFFIXES, Example, say
from distill.data.formats import parquet
from distill.data.formats.class_folders import folders
from distill.data.formats.folders import ALL, METADATA, find_parts
from distill.data.formats.json_rows import is_json, is_json_lines, json_row
from distill.data.formats.open_table import is_table
from distill.data.formats.other_content import refuse_other_content
from distill.data.formats.splits import is_report, split_of
from distill.data.formats.text import encoding_of
from distill.data.image_folder import find_images
from distill.data.image_names import IMAGE_SUFFIXES
from distill.data.items import FailedRow as FailedRow
from distill.data.items import InMemoryExample as InMemoryExample
from distill.data.items import Item as Item
from distill.data.roles import Ask
from distill.data.rows import FIRST_ROWS, RowReader, open_rows
from distill.data.text_beside import text_beside

NO_LABELS = Ask(wants_labels=False)


@dataclass(frozen=True)
class ImageFile:
    """An image file and its id: its path within the folder that is read."""

    id: str
    path: Path

    def read(self) -> Example | FailedRow:
        """The example of it, with the text beside it."""
        try:
            return Example(replace_surrogates(self.id), text_beside(self.path), self.path, ())
        except DataError as error:
            return FailedRow(self.id, str(error))


@dataclass(frozen=True)
class Source:
    """The input of predict. `kind` says what its `files` are, in order:

    "single"       no files: the one example `row`
    "json_or_csv"  a table that can be read from the start only, such as a JSON list or CSV
    "jsonl"        JSON Lines
    "parquet"      Parquet files
    "images"       one image or those of a folder, each with its text in NAME.txt beside it

    `ask` says which columns the files have; `passed_over` what else a folder of images holds, in one line.
    """

    kind: Literal["single", "json_or_csv", "jsonl", "parquet", "images"]
    path: Path
    files: tuple[Path, ...]
    row: Example | None = None
    ask: Ask = NO_LABELS
    passed_over: str | None = None

    @classmethod
    def open(cls, path: Path, ask: Ask = NO_LABELS, recursive: bool = False) -> Source:
        """The source at `path`, by its suffix or by the content of a folder, which may be read `recursive`ly.
        Raises DataError for any other; a file is not opened before its items are read."""
        if path.is_dir():
            return cls._of_folder(path, ask, recursive)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return cls("images", path, (path,))
        if parquet.is_parquet(path):
            return cls("parquet", path, (path,), ask=ask)
        if is_table(path):
            return cls("jsonl" if _can_seek_lines(path) else "json_or_csv", path, (path,), ask=ask)
        refuse_other_content(path)
        raise DataError(f"{path}: give a folder of images or a file ending in {', '.join(SUFFIXES)}")

    @classmethod
    def of_split(cls, folder: Path, split: str, ask: Ask = NO_LABELS) -> Source:
        """The source of one split of a dataset's folder. Raises DataError if it has none, or not as files of its
        own."""
        if not folder.is_dir():
            what = "is one file" if folder.exists() else "no such file or folder"
            raise DataError(f"{folder}: {what}, and --split names a part of a dataset's folder; leave out --split")
        parts = find_parts(folder, ask.columns.over(ask.remembered)).parts
        if split not in parts:
            raise DataError(f"{folder}: has no {split} split; it has {list_columns(parts)}")
        files = tuple(part.path for part in parts[split])
        if all(map(parquet.is_parquet, files)):
            return cls("parquet", folder, files, ask=ask)
        if len(files) > 1 or files[0].is_dir() or parts[split][0].keep:
            raise DataError(
                f"{folder}: its {split} split is no file of its own; write one with distill data convert --to jsonl"
            )
        return cls.open(files[0], ask)

    @classmethod
    def of(cls, row: Example) -> Source:
        """The source of one example."""
        return cls("single", row.image if isinstance(row.image, Path) else Path(row.id), (), row)

    @classmethod
    def _of_folder(cls, folder: Path, ask: Ask, recursive: bool) -> Source:
        try:
            names = sorted(folder.iterdir())
            found = find_images(folder, recursive)
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
        rows = [path for path in names if is_file(path) and _is_about(path, folder)]
        images, tables = found.images, tuple(path for path in names if path.suffix == parquet.SUFFIX)
        if recursive and (len(rows) == 1 or tables):
            name = (rows or tables)[0].name
            raise DataError(f"{folder}: its rows are in {name}, so no other folder is read; leave out --recursive")
        if len(rows) == 1:
            return cls.open(rows[0], ask)
        if tables and images:
            raise DataError(f"{folder}: holds {tables[0].name} and {images[0].name}; give a folder of one kind")
        is_about_images = any(
            is_file(path) and is_table(path) and split_of(path.stem) and not is_report(path.stem) for path in names
        )
        if not tables and (is_about_images or not images) and (parts := find_parts(folder, ask.columns).parts):
            example = next(iter(parts.values()))[0].path
            example = folders(example)[0] if example.is_dir() else example  # one class
            splits = "" if ALL in parts else f"--split with one of {', '.join(parts)}, or "
            raise DataError(f"{folder}: holds a dataset; give {splits}one of its parts, such as {example}")
        if not tables and not images:
            said = f"; {found.passed_over}" if found.passed_over else ""
            raise DataError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}){said}")
        if tables:
            return cls("parquet", folder, tables, ask=ask)
        return cls("images", folder, images, passed_over=found.passed_over)

    def remembering(self, columns: Columns) -> Source:
        """The same source, read by these columns of a Bundle's data where it has them and nothing else is said."""
        return replace(self, ask=replace(self.ask, remembered=columns))

    def items(self) -> Iterator[Item]:
        """Every row, as an example or a FailedRow. Raises DataError if the source itself cannot be read."""
        if self.row is not None:
            yield self.row
        elif self.kind == "images":
            yield from (file.read() for file in self.image_files())
        else:
            said: set[str] = set()
            for path in self.files:
                opened = open_rows(path, self.ask, FIRST_ROWS)
                say(path, opened.all_notes(), said)
                rows = opened.rows
                if parquet.is_parquet(path) and opened.reader.convert is None:
                    rows = parquet.iter_rows(path, columns=opened.reader.roles.names())
                is_empty = True
                for item in items_of(rows, opened.reader):
                    is_empty = False
                    yield item
                if is_empty:
                    say(path, ["has no rows"], said)

    def image_files(self) -> list[ImageFile]:
        """The images of the source, each with its id."""
        base = self.path if self.path.is_dir() else self.path.parent
        return [ImageFile(path.relative_to(base).as_posix(), path) for path in self.files]

    def readers(self) -> dict[Path, RowReader]:
        """What makes examples of the rows of each file, for those who read parts of them. Raises DataError."""
        readers, said = {}, set[str]()
        for path in self.files:
            opened = open_rows(path, self.ask, FIRST_ROWS)
            say(path, opened.all_notes(), said)
            readers[path] = opened.reader
        return readers

    def count(self) -> int | None:
        """The number of items, None if it is not cheap to know."""
        if self.kind == "parquet":
            return sum(footer.rows for footer in parquet.describe(self.files))
        if self.kind == "jsonl" and self.path.is_file():
            with open_input(self.path, DataError) as handle:
                return sum(1 for line in bounded_lines(handle, self.path, DataError) if line.strip())
        return {"images": len(self.files), "single": 1}.get(self.kind)

    def digest(self) -> str:
        """Hex SHA-256 that changes with the input: of a file's content, of a folder's file names and sizes, or of
        one example's text and image; and with what is said of its columns. Raises DataError and ImageError."""
        digest, columns = self._content_digest(), self.columns_identity()
        return hashlib.sha256(f"{digest} {columns}".encode("utf-8", "replace")).hexdigest() if columns else digest

    def columns_identity(self) -> dict[str, str]:
        """What is said of the columns, as part of what decides predictions; nothing where nothing is said."""
        columns = self.ask.columns.over(self.ask.remembered)
        return {} if columns == Columns() else {"columns": str(columns)}

    def _content_digest(self) -> str:
        if self.row is not None:
            return content_hash(self.row)
        if self.kind != "images" and self.path.is_file():
            return sha256_of(self.path)
        if not self.path.exists():
            return secrets.token_hex()  # a pipe cannot be read twice, so it never equals another input
        texts = {image.with_suffix(".txt") for image in self.files} if self.kind == "images" else set()
        files = [path for path in (*self.files, *sorted(texts)) if is_file(path)]
        base = self.path if self.path.is_dir() else self.path.parent
        entries = sorted((path.relative_to(base).as_posix(), path.stat().st_size) for path in files)
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _is_about(path: Path, folder: Path) -> bool:
    """Whether a file is rows about the images in its folder: metadata.jsonl, or named like the folder."""
    named = path.stem.lower() in (METADATA, folder.name.lower())
    return named and (path.suffix.lower() in SUFFIXES or is_json(path))


def _can_seek_lines(path: Path) -> bool:
    """Whether a file's rows are lines that can be read from any one."""
    if not is_file(path):  # reported when it is read
        return path.suffix == ".jsonl"
    return is_json(path) and is_json_lines(path) and encoding_of(path) != "utf-16"


def items_of(rows: Iterable[tuple[int, dict[str, Any] | DataError]], reader: RowReader) -> Iterator[Item]:
    """Every row as an example or a FailedRow."""
    for number, row in rows:
        try:
            example = reader.read(row, number)
        except DataError as error:
            yield FailedRow(reader.name(row, number), str(error))
            continue
        if (
            isinstance(row, dict)
            and isinstance(example.image, bytes)
            and not isinstance(row[reader.roles.image], str)
        ):
            where = f"{reader.path}: row {number}: image"
            yield InMemoryExample(example.id, example.text, example.image, where)
        else:
            yield example


def json_lines(lines: Iterable[bytes], reader: RowReader, first: int = 1) -> Iterator[Item]:
    """Examples of JSON Lines, numbered from `first`; a line that is not valid JSON becomes a FailedRow."""
    numbered = ((number, line) for number, line in enumerate(lines, first) if line.strip())
    rows = ((number, json_row(line, reader.path, number)) for number, line in numbered)
    yield from items_of(reader.converted(rows), reader)
