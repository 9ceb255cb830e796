"""Reads CSV and TSV files, whatever separates their columns."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.core.errors import DataError
from distill.core.storage.inputs import bounded_lines
from distill.core.untrusted import short_repr
from distill.data.columns import list_columns
from distill.data.examples import MAX_TEXT
from distill.data.formats.quoting import PlainRows
from distill.data.formats.table import Table
from distill.data.formats.text import open_text, table_encoding

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|"}
SAID_SEPARATOR = re.compile("sep=.", re.IGNORECASE)
OPEN_QUOTE = '; a quote that begins a field opens it up to the next one: within such a field, write "" for a quote'
UNNAMED = "Unnamed: "  # as pandas calls a column without a name
MAX_FIELD = 10 * MAX_TEXT  # a text over MAX_TEXT is its row's fault, but an open quote cannot swallow the file


def is_delimited(path: Path) -> bool:
    """By its suffix. A .txt file that is not JSON may be one too."""
    return path.suffix.lower() in (*SEPARATORS, ".txt")


def open_delimited(path: Path) -> Table:
    """A CSV or TSV file. Raises DataError."""
    encoding = table_encoding(path)
    usual = SEPARATORS.get(path.suffix.lower(), "\t")
    separator = _sniff(path, encoding, usual)
    name = "TSV" if usual == "\t" else "CSV"
    if separator != usual:
        name += f" separated by {NAMES[separator]}"
    if encoding == "cp1252":
        name += " in Windows-1252, as it is not UTF-8"
    return Table(name, _rows(path, encoding, separator), is_text=True)


def _sniff(path: Path, encoding: str, usual: str) -> str:
    """The separator with which the header has the most columns."""
    with open_text(path, encoding, newline="") as handle:
        try:
            header, _, said = _find_header(bounded_lines(handle, path, DataError))
        except (UnicodeError, OSError):
            return usual  # reported as the rows are read
    if said in NAMES:
        return said
    if usual == "\t" and "\t" in header:
        return usual
    return max((usual, *NAMES), key=lambda separator: _columns(header, separator))


def _find_header(lines: Iterator[str]) -> tuple[str, int, str]:
    """The header, the number of lines before it, and the separator that one of these says: Excel writes "sep=;"
    first. Lines of nothing but spaces are passed over."""
    said = ""
    for before, line in enumerate(lines):
        line = line.lstrip("\ufeff")  # of two byte order marks, as where a program adds one to a file with one
        stripped = line.strip(" \r\n")
        if stripped and not SAID_SEPARATOR.fullmatch(stripped):
            return line, before, said
        said = stripped[-1:] or said
    return "", 0, said


def _columns(header: str, separator: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=separator), []))
    except csv.Error:
        return 0


def _rows(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    try:
        with open_text(path, encoding, newline="") as handle:
            lines = bounded_lines(handle, path, DataError)
            plain = partial(PlainRows, partial(_plain_rows, path, encoding, separator), separator)
            yield from enumerate(_dicts(lines, path, separator, plain), 1)
    except (UnicodeError, OSError) as error:
        kind = "neither UTF-8 nor Windows-1252" if encoding == "cp1252" else f"not {encoding}"
        raise DataError(f"{path}: is {kind}, so not readable as text: {error}") from error


def _plain_rows(path: Path, encoding: str, separator: str) -> Iterator[list[str]]:
    """The rows behind the header, as they stand in the file."""
    with open_text(path, encoding, newline="") as handle:
        lines = bounded_lines(handle, path, DataError)
        _, reader = _reader(lines, separator)
        next(reader, None)
        yield from reader


def _reader(lines: Iterator[str], separator: str) -> tuple[int, Reader]:
    """The number of lines before the header, and the rows from there on."""
    csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # global to the process: raised, never lowered
    header, before, _ = _find_header(lines)
    return before, csv.reader(
        itertools.chain([header] if header else [], lines),
        strict=True,
        delimiter=separator,
        # "id, text, labels": where blanks stand behind all separators, they belong to none of the values.
        skipinitialspace=header.count(separator) == header.count(f"{separator} ") > 0,
    )


def _dicts(
    lines: Iterator[str], path: Path, separator: str, plain: Callable[[int], PlainRows]
) -> Iterator[dict[str, Any] | DataError]:
    before, reader = _reader(lines, separator)
    begin = before + 1  # the line in which a row begins
    try:
        header = next(reader, [])
        columns, in_order = _header(header, path), sorted(header)
        is_first = True  # where a title stands above the header, its rows have other numbers of fields
        known = plain(len(columns))
        begin = before + reader.line_num + 1
        for row in reader:
            end = before + reader.line_num
            if row and len(row) != len(columns):
                why = "Check the quoting"
                if is_first:
                    why += (
                        f", and that {list_columns(columns)} is the header: what stands above it is to be removed"
                    )
                yield DataError(
                    f"{path}: {_lines(begin, end)}: expected {len(columns)} fields, separated by "
                    f"{NAMES[separator]}, as in the header; got {len(row)}. {why}"
                )
            elif len(columns) > 1 and sorted(row) == in_order:
                yield DataError(
                    f"{path}: {_lines(begin, end)}: repeats the header, as in files that were joined; remove the "
                    "line, and see that the columns after it are in the same order"
                )
            elif end > begin and known.swallowed(row):
                yield DataError(
                    f"{path}: {_lines(begin, end)}: a quote in line {begin} makes one text of lines that each look "
                    'like a row; remove it, or write it as "" in a text between quotes'
                )
            elif row:
                yield dict(zip(columns, row, strict=True))
            is_first, begin = is_first and not row, end + 1
    except csv.Error as error:
        where = _lines(begin, before + reader.line_num)
        raise DataError(f"{path}: {where}: broken CSV: {error}{OPEN_QUOTE}") from error


def _lines(begin: int, end: int) -> str:
    return f"line {begin}" if begin == end else f"lines {begin} to {end}"


def _header(columns: Iterable[str], path: Path) -> list[str]:
    """The names of the columns; those without a name are called as pandas calls them. Raises DataError."""
    names = [name if name.strip() else f"{UNNAMED}{index}" for index, name in enumerate(columns)]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(
                f"{path}: the header has two columns {short_repr(name)}; keep one of them, or, if it is a row, "
                "write a header above it"
            )
    return names
