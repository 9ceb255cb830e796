"""Values of cells that published forms share."""

from __future__ import annotations

from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

EMPTY = ("", "nan", "none", "null")


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: empty, or how pandas writes that."""
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in EMPTY)


def text_of(value: Any) -> str:
    """A cell of text, "" for one that says nothing."""
    return "" if is_empty(value) else str(value)


def flag(value: Any) -> int | None:
    """1 or 0, None for an empty cell. Raises DataError for anything else."""
    if is_empty(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number not in (0, 1):
        raise DataError(f"expected 0 or 1; got {short_repr(value)}")
    return int(number)
