"""Reads JSON lists and JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, bounded_lines, open_input, read_input
from distill.core.untrusted import parse_json, short_repr
from distill.data.formats.published import open_tree
from distill.data.formats.table import Table
from distill.data.formats.text import encoding_of, head, open_text

SUFFIXES = (".json", ".jsonl", ".ndjson")
LINES_SUFFIXES = (".jsonl", ".ndjson")
_parsed: ContextVar[dict[Path, Any] | None] = ContextVar("parsed", default=None)
HEAD = 1 << 16  # bytes in which the first row of JSON Lines ends, or they are known by their suffix alone


def is_json(path: Path) -> bool:
    """By its suffix, or by its first character where the suffix says nothing."""
    return path.suffix.lower() in SUFFIXES or (path.suffix.lower() == ".txt" and _begin(path)[:1] in ("[", "{"))


def is_json_lines(path: Path) -> bool:
    """Whether rows are read line by line: by the suffix, unless the file begins as a list does; other files if
    their first line is an object, and another one follows."""
    begin = _begin(path)
    first, _, rest = begin.partition("\n")
    if path.suffix.lower() in LINES_SUFFIXES:
        return not (begin.startswith("[") and (first.strip() == "[" or first.lstrip("[ ").startswith("{")))
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


def _begin(path: Path) -> str:
    return head(path, HEAD).decode(encoding_of(path), "replace").lstrip()


def open_json(path: Path) -> Table:
    """A JSON list or JSON Lines. Raises DataError."""
    if is_json_lines(path):
        return Table("JSON Lines", _lines(path))
    tree = _tree(path)
    return open_tree(tree, path) or Table("JSON", _list(tree, path))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    encoding = encoding_of(path)
    try:
        if encoding == "utf-16":
            with open_text(path, encoding) as text:
                yield from _rows_of(bounded_lines(text, path, DataError), path)
        else:  # lines are found before they are decoded, so that a broken one costs no other
            with open_input(path, DataError) as handle:
                yield from _rows_of(bounded_lines(handle, path, DataError), path)
    except (UnicodeError, OSError) as error:
        raise DataError(f"{path}: not readable as {encoding}: {error}") from error


def _rows_of(lines: Iterable[str | bytes], path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    return ((number, json_row(line, path, number)) for number, line in enumerate(lines, 1) if line.strip())


def json_row(line: str | bytes, path: Path, number: int) -> dict[str, Any] | DataError:
    """The row of one line, or what is wrong with it."""
    try:
        line = line.decode("utf-8-sig") if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        return DataError(f"{path}: row {number}: not readable as UTF-8 text: {error}")
    try:
        return _row(parse_json(line, f"{path}: row {number}", DataError), path, number)
    except DataError as error:
        step = "; write one object a line, and nothing after it, such as a comma" * ("Extra data" in str(error))
        return DataError(f"{error}{step}")


@contextmanager
def parsed_once() -> Iterator[None]:
    """Parse a file that is opened more than once in this context the first time alone. Its value is held until then
    and by what is open, and not changed."""
    token = _parsed.set({})
    try:
        yield
    finally:
        _parsed.reset(token)


def _tree(path: Path) -> Any:
    known = _parsed.get()
    if known is None:
        return _parse(path)
    if path not in known:
        known[path] = _parse(path)
    return known[path]


def _parse(path: Path) -> Any:
    content = read_input(path, MAX_JSON, DataError)
    try:
        return parse_json(content.decode(encoding_of(path)), str(path), DataError)
    except DataError as error:
        step = "; write one list of objects, or one object a line" * ("Extra data" in str(error))
        raise DataError(f"{error}{step}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error


def _list(tree: Any, path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    if not isinstance(tree, list):
        hint = ""
        if isinstance(tree, dict) and tree:
            hint = '; from pandas, write to_json(orient="records")'
            if inner := next((key for key, value in tree.items() if isinstance(value, list)), None):
                hint = f"; save the list under {short_repr(inner)} alone, if that is it"
        raise DataError(f"{path}: expected a JSON list of rows; got {short_repr(tree)}{hint}")
    for number, row in enumerate(tree, 1):
        yield number, _row(row, path, number)


def _row(row: Any, path: Path, number: int) -> dict[str, Any] | DataError:
    if isinstance(row, dict):
        return row
    return DataError(
        f"{path}: row {number}: expected an object with id, text, image and labels; got {short_repr(row)}"
    )
