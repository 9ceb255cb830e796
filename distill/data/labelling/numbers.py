"""Numbers in place of names: 0 or 1 for each label, also in one string, or the numbers of labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import flag_of

_FLAG = r"(?:[01](?:\.0)?|true|false)"
JOINED_FLAGS = re.compile(rf"\s*{_FLAG}(?:(?:\s*[,;|/+&:#]\s*|\s+){_FLAG})+\s*", re.IGNORECASE)
BETWEEN_FLAGS = re.compile(r"[\s,;|/+&:#]+")


def flags_in(cell: Any) -> list[int] | None:
    """The 0 and 1 in a string such as "0,1,1", "0 1 1" or "011", None for any other cell."""
    if not isinstance(cell, str):
        return None
    if len(cell) > 1 and not set(cell) - {"0", "1"}:
        return [*map(int, cell)]
    if not JOINED_FLAGS.fullmatch(cell):
        return None
    return [flag_of(part) or 0 for part in BETWEEN_FLAGS.split(cell.strip())]


def flags_a_cell(cells: Sequence[Any]) -> int:
    """How many 0 and 1 each of the cells is a string of, 0 if they are something else, such as the numbers 10 and
    11."""
    if not cells or all(isinstance(cell, str) and cell.isdigit() and cell[0] != "0" for cell in cells):
        return 0
    lengths = {len(flags_in(cell) or ()) for cell in cells}
    return lengths.pop() if len(lengths) == 1 else 0


def numbers_only(value: Any) -> bool:
    """Whether a value is a list with numbers, or true and false, alone."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, int | float) for each in value)


def wrong_length(lists: Iterable[list[Any]], labels: int) -> list[Any] | None:
    """One of the lists if all have 0 and 1 alone, as many of them, and not as many as there are labels."""
    lists = list(lists)
    lengths = {len(each) for each in lists}
    if len(lengths) != 1 or lengths <= {1, labels} or any(x not in (0, 1) for each in lists for x in each):
        return None
    return lists[0]


def names_of(value: list[Any], names: tuple[str, ...], where: str) -> list[Any]:
    """A list with the names of labels in place of their numbers. Raises DataError for one that may mean 0 or 1 for
    each label."""
    numbers = [x for x in value if isinstance(x, int)]
    one_each = f"{len(names)} labels take a 0 or 1 each, or the numbers of some, from 0; or write names"
    if any(isinstance(x, bool) for x in numbers):
        raise DataError(
            f"{where} holds {short_repr(value)}, {len(value)} values with true and false, and {one_each}"
        )
    if len(set(numbers)) < len(numbers):
        raise DataError(f"{where} holds {short_repr(value)}, which repeats a number, and {one_each}")
    if numbers and len(names) == 1:
        raise DataError(
            f"{where} holds {short_repr(value)}, a 1 for the label or its number, 0; write 1 or 0 alone"
        )
    if numbers and any(isinstance(x, str) for x in value):
        raise DataError(f"{where} holds {short_repr(value)}, names beside numbers; write names alone")
    return [names[x] if isinstance(x, int) and 0 <= x < len(names) else x for x in value]
