"""Checks that the numbers of a dataclass that was read from a file lie in their ranges.

Reports and runs may come from anybody: a negative time, a share of 3 or 1e300 examples would end in a traceback or
in a plot without end, far from the file that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

Range = tuple[float, float]  # least and greatest value, both allowed
SHARE: Range = (0.0, 1.0)


def check_bounds(part: Any, bounds: Mapping[str, Range], default: Range, where: str = "") -> None:
    """Raise ValueError for a number of the dataclass `part`, or of those in it, that is out of its range.

    `bounds` are by the name of a field, or by "Class.field" where a name means different things; all numbers of a
    list or dataclass in that field have its range. Any other number has `default`.
    """
    for field in fields(part):
        key = f"{type(part).__name__}.{field.name}"
        own = bounds.get(key, bounds.get(field.name))
        _check(getattr(part, field.name), own, (bounds, default), f"{where}.{field.name}".lstrip("."))


def _check(value: Any, own: Range | None, others: tuple[Mapping[str, Range], Range], where: str) -> None:
    if is_dataclass(value):
        check_bounds(value, *(({}, own) if own else others), where)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, own, others, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = own or others[1]
        if not low <= value <= high:
            raise ValueError(f"{where} is {value:.6g}, expected {low:g} to {high:g}")
