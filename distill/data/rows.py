"""Reads the rows of one file as Examples: its columns' roles are decided first, by what all of its rows hold or,
where they are streamed, the first ones."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import is_file, replace_surrogates, short_repr
from distill.data.column_survey import EMPTY_WORDS, Survey, is_missing
from distill.data.columns import FILE_NAMES, NO_COLUMN, OPTIONS, Columns, Role, list_columns, normal_name
from distill.data.examples import MAX_TEXT, Example
from distill.data.formats.json_rows import parsed_once
from distill.data.formats.open_table import open_table
from distill.data.formats.table import Convert, NumberedRow, Table, convert_rows
from distill.data.groups import NONE_ASKED, AskedGroups
from distill.data.header import refuse_other_header
from distill.data.image_names import MAX_NAME, file_stem, find_image
from distill.data.roles import Ask, Roles, could_be, decide_roles, label_hint, unused_columns

Opener = Callable[[Path, bool], Table]  # of a file; True for its rows as they stand in it
LARGE = 16 << 20  # bytes of a file that takes a second to read
FEW = 3  # ids that are looked for as images
FIRST_ROWS = 1000  # by which the columns of a stream are decided
USUAL_FORMATS = ("JSON", "JSON Lines", "CSV", "TSV", "Parquet")


@dataclass(frozen=True)
class RowReader:
    """Makes Examples of the rows of the file `path`.

    Without a column of ids, they are the names of the images, without their suffixes, or, with `ids_are_numbers`,
    the numbers of the rows. `has_words` says that texts may be "nan" for nothing, as pandas writes to CSV. `known`
    are the columns by which the roles were decided; `groups` are of labels that exclude each other.
    """

    path: Path
    roles: Roles
    ids_are_numbers: bool
    has_words: bool
    known: frozenset[str]
    image_folders: tuple[Path, ...] = ()
    said_folder: Path | None = None
    convert: Convert | None = None
    groups: AskedGroups = NONE_ASKED

    def converted(self, rows: Iterable[NumberedRow]) -> Iterator[NumberedRow]:
        """Rows as they stand in the file, in the columns that are read."""
        return convert_rows(rows, self.convert, self.path)

    def read(self, row: dict[str, Any] | DataError, number: int) -> Example:
        """One row as an Example. Its image is found as `find_image` says, and not opened. Raises DataError."""
        if isinstance(row, DataError):
            raise row
        where = f"{self.path}: row {number}"
        self._refuse_other_columns(row, where)
        text, image = self._text(row, where), self._image(row, where)
        if image is None and not text.strip():
            columns = " nor ".join(repr(name) for name in (self.roles.text or "text", self.roles.image or "image"))
            raise DataError(
                f"{where}: has neither {columns}; every row needs one of them. It has {list_columns(row)}"
            )
        labels = self.roles.labels.read(row, where) if self.roles.labels else (None, ())
        labels = self.groups.read(*labels, where)
        # Tokenizers and files would replace surrogates later; here every reader sees the same text.
        return Example(self._id(row, number, where), replace_surrogates(text), image, *labels)

    def name(self, row: dict[str, Any] | DataError, number: int) -> str:
        """What a row that cannot be read is called: its id, or its number."""
        if isinstance(row, DataError) or not self.roles.id:
            return f"row {number}"
        id_ = row.get(self.roles.id)
        valid = isinstance(id_, str | int) and not isinstance(id_, bool) and id_ != ""
        return str(id_) if valid else f"row {number}"

    def _id(self, row: dict[str, Any], number: int, where: str) -> str:
        if not self.roles.id:
            name = None if self.ids_are_numbers else _file_name(row.get(self.roles.image))
            return str(number) if not name else replace_surrogates(file_stem(name))
        id_ = row.get(self.roles.id)
        if is_missing(id_):
            raise DataError(
                f"{where}: has no {short_repr(self.roles.id)}; every row needs one. It has {list_columns(row)}"
            )
        if isinstance(id_, float) and id_.is_integer():
            return str(int(id_))  # where pandas has put whole numbers into a column with gaps
        if not isinstance(id_, str | int) or isinstance(id_, bool):
            raise DataError(f"{where}: id must be a string or a whole number; got {short_repr(id_)}")
        if replace_surrogates(str(id_)) != str(id_):
            raise DataError(f"{where}: id {id_!r} holds a lone surrogate, half a character; write it as UTF-8")
        return str(id_)

    def _text(self, row: dict[str, Any], where: str) -> str:
        text = row.get(self.roles.text) if self.roles.text else None
        if is_missing(text) or (self.has_words and text in EMPTY_WORDS):
            return ""
        if not isinstance(text, str):
            raise DataError(f"{where}: text must be a string; got {short_repr(text)}")
        if len(text) > MAX_TEXT:
            raise DataError(
                f"{where}: text has {len(text):,} characters, over the limit of {MAX_TEXT:,}; shorten it"
            )
        return text

    def _image(self, row: dict[str, Any], where: str) -> Path | bytes | None:
        image = row.get(self.roles.image) if self.roles.image else None
        if isinstance(image, int) and not isinstance(image, bool):
            image = str(image)  # the name of a file without its suffix
        if isinstance(image, dict):  # as Hugging Face datasets write it
            if "bytes" not in image and "path" not in image:
                raise DataError(f"{where}: image must hold 'bytes' or 'path'; it holds {short_repr(list(image))}")
            content = image.get("bytes")
            if not isinstance(content, bytes | None):
                raise DataError(f"{where}: the 'bytes' of image must be binary; got {short_repr(content)}")
            image = image.get("path") if content is None else content
        if is_missing(image) or (self.has_words and image in EMPTY_WORDS):
            return None
        if isinstance(image, bytes):
            return image or None
        if not isinstance(image, str):
            raise DataError(f"{where}: image must be a file name; got {short_repr(image)}")
        return find_image(self.path, image, where, self.image_folders, self.said_folder)

    def _refuse_other_columns(self, row: dict[str, Any], where: str) -> None:
        """Raise DataError for a row that has a column of a well-known name in place of the one that is read."""
        roles: tuple[Role, ...] = ("text", "image", "labels") if self.roles.labels else ("text", "image")
        if all(name in row for name in self.roles.names()) and self.known.issuperset(row):
            return
        for role in roles:
            column = self.roles.column(role)
            others = could_be(role, row.keys() - self.roles.names()) if column not in row else []
            if others:
                instead = f"has no {short_repr(column)} but" if column else "has a new column"
                raise DataError(
                    f"{where}: {instead} {list_columns(others)}, which may be its {role}; write all rows with the "
                    f"same columns, or name one with {OPTIONS[role]}"
                )


def _file_name(image: Any) -> str | None:
    """The name of the file in a cell, None for what has none."""
    name = image.get("path") if isinstance(image, dict) else image
    name = str(name) if type(name) is int else name
    return name if isinstance(name, str) and len(name) <= 1000 and not name.startswith("data:") else None


@dataclass(frozen=True)
class OpenRows:
    """The rows of a file, read once, the reader that makes Examples of them, notes of how they are read, one of
    the columns that are not, and, without a column of labels, which may be it."""

    rows: Iterator[tuple[int, dict[str, Any] | DataError]]
    reader: RowReader
    notes: tuple[str, ...]
    unused: str
    label_hint: str
    format: str
    published: bool = False

    def read_as(self) -> str:
        """The format of the file, and its column of each role: "CSV: id 'id', text 'caption'"."""
        roles = self.reader.roles
        labels = roles.labels.columns if roles.labels else ()
        columns = (("id", [roles.id]), ("text", [roles.text]), ("image", [roles.image]), ("labels", labels))
        named = (f"{role} {list_columns(filter(None, names))}" for role, names in columns)
        return f"read as {self.format}: {', '.join(named)}"

    def all_notes(self) -> tuple[str, ...]:
        """The notes of what is read and what is not."""
        return (*self.notes, *([self.unused] if self.unused else []))


def open_rows(path: Path, ask: Ask, first_rows: int | None = None, opened: Opener = open_table) -> OpenRows:
    """Decide the columns of a file by its first rows, all of them for None, and open it. Raises
    DataError."""
    with parsed_once():
        as_is = _are_columns_named(path, ask, opened)
        first = opened(path, as_is)
        rows = convert_rows(first.rows, first.convert, path)
        # Who reads the first rows alone shows a bar of its own, and there can be but one.
        with closing(read_slowly(rows, path, "looking at") if first_rows is None else rows) as some:
            survey = Survey.of(itertools.islice(some, first_rows), path)
        table = opened(path, as_is)
    reader, notes = make_reader(path, table, survey, ask)
    read = reader.converted(table.rows)
    used = reader.roles.names() | {*ask.others}
    hint = "" if reader.roles.labels else label_hint(survey, used)
    return OpenRows(read, reader, notes, unused_columns(survey, used), hint, table.format, table.published)


def read_slowly(rows: Iterator[NumberedRow], path: Path, what: str) -> Generator[NumberedRow, None, None]:
    """The rows, under a progress bar where the file is large."""
    from distill.core.output.terminal import track  # a device that measures a packed benchmark may lack it

    is_large = is_file(path) and path.stat().st_size > LARGE
    yield from track(rows, f"{what} {path.name}", None) if is_large else rows


def _are_columns_named(path: Path, ask: Ask, opened: Opener) -> bool:
    """Whether columns of the file itself are meant, and not those of its published form: a user names some, or a
    run has learned from some that it has."""
    if _named(ask.columns):
        return True
    if not (names := _named(ask.remembered)) or not opened(path, False).published:
        return False
    row = next((row for _, row in opened(path, True).rows if isinstance(row, dict)), {})
    return all(fnmatch.filter(row, name) for name in names)


def _named(columns: Columns) -> set[str]:
    return {columns.id, columns.text, columns.image, *columns.labels} - {"", NO_COLUMN}


def make_reader(path: Path, table: Table, survey: Survey, ask: Ask) -> tuple[RowReader, tuple[str, ...]]:
    """The reader of a table by the survey of its rows, and notes of how they are read. Raises DataError."""
    if table.is_text and not table.published:
        refuse_other_header(survey, path, ask.columns.over(ask.remembered))
    roles, notes = decide_roles(survey, table.columns, ask, path)
    has_words = table.is_text
    folder = ask.columns.over(ask.remembered).images
    if roles.labels:
        roles = replace(roles, labels=replace(roles.labels, has_words=has_words))
    said = Path(folder) if folder else None
    known = frozenset(survey.columns)
    reader = RowReader(path, roles, False, has_words, known, table.image_folders, said, table.convert)
    reader = replace(reader, groups=ask.exclusive())
    if not roles.image and ask.columns.over(ask.remembered).image != NO_COLUMN:
        notes += _images_by_id(reader, survey)
    if not roles.id and survey.rows:
        reader = replace(reader, ids_are_numbers=not _has_distinct_images(survey, roles.image))
        what = "row numbers" if reader.ids_are_numbers else "names of the images, without suffixes"
        notes = [f"ids are the {what}", *notes]
    if table.format not in USUAL_FORMATS:
        notes = [f"read as {table.format}", *notes]
    if has_words and roles.text and (words := survey.columns[roles.text].empty_words):
        notes.append(f"{_such_as(words)} in place of a text are read as no text")
    if has_words and roles.labels:
        words = {word for name in roles.labels.columns for word in survey.columns[name].empty_words}
        what = f"{_such_as(words)} in place of labels are read as unknown, but for labels in labels.txt"
        notes += [what] * bool(words)
    return reader, tuple(notes)


def _such_as(words: set[str]) -> str:
    """What a note calls words for nothing: an error of Excel, which hides what stood there, is named."""
    error = max((word for word in words if word.startswith("#")), default="nan")
    return f"'{error}' and the like"


def _images_by_id(reader: RowReader, survey: Survey) -> list[str]:
    """A note of images that are named like the ids of rows without an image. Raises DataError where the column of
    the ids is called image_id or so, and for one called file_name or so."""
    files = [
        name for name in survey.columns if name not in reader.roles.names() and normal_name(name) in FILE_NAMES
    ]
    for column in filter(None, (*files, reader.roles.id)):
        ids = itertools.islice(survey.columns[column].distinct.values(), FEW)
        images = [_image_named(value, reader) for value in ids]
        if survey.columns[column].filled < survey.rows or not images or not all(images):
            continue
        if column in files or any(word in column.lower() for word in ("image", "img", "picture", "photo")):
            raise DataError(
                f"{reader.path}: no column is known to be the image, but {short_repr(column)} names images, such "
                f"as {images[0]}; give --image-column {column}, or --image-column - if there is none"
            )
        return [f"images named like the ids, such as {images[0]}, are not used; --image-column {column} takes them"]
    return []


def _image_named(value: Any, reader: RowReader) -> Path | None:
    if not isinstance(value, str | int) or len(str(value)) > MAX_NAME:
        return None
    with suppress(DataError, OSError, ValueError):
        image = find_image(reader.path, str(value), "", reader.image_folders, reader.said_folder)
        return image if isinstance(image, Path) and is_file(image) else None
    return None


def _has_distinct_images(survey: Survey, column: str) -> bool:
    """Whether each image has a name of its own, as far as the survey has kept them."""
    if not column:
        return False
    images = survey.columns[column]
    stems = [file_stem(name) for value in images.distinct.values() if (name := _file_name(value))]
    is_each = images.filled == survey.rows and len(stems) == len(images.distinct) > 0
    return is_each and len(set(stems)) == len(stems) and (not images.is_whole or len(stems) == images.filled)
