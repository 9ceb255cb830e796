"""Reads CSV and TSV files, whatever separates their columns."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.inputs import bounded_lines
from distill.core.untrusted import short_repr
from distill.data.examples import MAX_TEXT
from distill.data.formats.table import Table
from distill.data.formats.text import open_text, table_encoding

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|"}
SAID_SEPARATOR = re.compile("sep=.", re.IGNORECASE)
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
            yield from enumerate(_dicts(lines, path, separator), 1)
    except (UnicodeError, OSError) as error:
        kind = "neither UTF-8 nor Windows-1252" if encoding == "cp1252" else f"not {encoding}"
        raise DataError(f"{path}: is {kind}, so not readable as text: {error}") from error


def _dicts(lines: Iterator[str], path: Path, separator: str) -> Iterator[dict[str, Any] | DataError]:
    csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # global to the process: raised, never lowered
    header, before, _ = _find_header(lines)
    reader: csv.DictReader[str] = csv.DictReader(
        itertools.chain([header] if header else [], lines),
        strict=True,
        delimiter=separator,
        # "id, text, labels": where blanks stand behind all separators, they belong to none of the values.
        skipinitialspace=header.count(separator) == header.count(f"{separator} ") > 0,
    )
    try:
        in_order = sorted(reader.fieldnames or [])
        columns = reader.fieldnames = _header(reader.fieldnames or [], path)
        for row in reader:
            if None in row or None in row.values():
                count = sum(value is not None for name, value in row.items() if name is not None)
                count += len(row.get(None) or ())  # fields without a column
                yield DataError(
                    f"{path}: line {reader.line_num + before}: expected {len(columns)} fields, separated by "
                    f"{NAMES[separator]}, as in the header; got {count}. Check the quoting"
                )
            elif len(columns) > 1 and sorted(row.values()) == in_order:
                yield DataError(
                    f"{path}: line {reader.line_num + before}: repeats the header, as in files that were joined; "
                    "remove the line, and see that the columns after it are in the same order"
                )
            else:
                yield row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num + before}: broken CSV: {error}") from error


def _header(columns: Iterable[str], path: Path) -> list[str]:
    """The names of the columns; those without a name are called as pandas calls them. Raises DataError."""
    names = [name if name.strip() else f"Unnamed: {index}" for index, name in enumerate(columns)]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{path}: the header has two columns {short_repr(name)}; keep one of them")
    return names
