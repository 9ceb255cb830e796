"""The notations of a column of times: two in one column, 20240501 and 2024-05-01, cannot be put in order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

ISO, NUMBER, COMPACT = "ISO 8601 times", "numbers", "compact dates"
YEARS = range(1900, 2101)
EPOCH_SINCE, EPOCH_UNTIL = 5e8, 5e9  # seconds since 1970, of the years 1985 to 2128
EPOCHS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
MOST = 0.9  # of the numbers; with fewer, they are counted through, and some look like years by chance


@dataclass
class Notations:
    """How many cells of a column have each notation, and the first of them."""

    count: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, cell: Any, time: float, row: int) -> None:
        """Count a cell, which is the `time`."""
        notation = _notation(cell, time)
        if notation not in self.first:
            self.first[notation] = f"{short_repr(cell)} in row {row}"
        self.count[notation] += 1

    def check(self, column: str) -> None:
        """Raise DataError, without the file, for a column of several notations."""
        numbers = Counter({name: count for name, count in self.count.items() if name not in (ISO, NUMBER)})
        kinds = [name for name, _ in numbers.most_common()]
        total = numbers.total() + self.count[NUMBER]
        mixed: list[str] = []
        if self.count[ISO] and total:
            mixed = [ISO, *kinds, *([NUMBER] if self.count[NUMBER] else [])]
        elif len(kinds) > 1 and numbers.total() > MOST * total:
            mixed = kinds
        elif 2 * numbers[COMPACT] > total > numbers[COMPACT]:
            mixed = [COMPACT, *(name for name in self.count if name != COMPACT)]
        if mixed:
            shown = " and ".join(f"{name} ({self.first[name]})" for name in mixed[:2])
            raise DataError(
                f"column {short_repr(column)} mixes notations of times: {shown}; write all in one, such as "
                "2024-05-01"
            )


def _notation(cell: Any, time: float) -> str:
    if not isinstance(cell, int | float) and not (isinstance(cell, str) and _is_number(cell)):
        return ISO
    if time != int(time):
        return _epoch(time) or NUMBER
    if re.fullmatch("[0-9]{8}", digits := str(int(time))) and int(digits[:4]) in YEARS:
        return COMPACT if _is_date(digits) else NUMBER
    if len(digits) == 6 and int(digits[:4]) in YEARS and 1 <= int(digits[4:]) <= 12:
        return "compact months"
    return "years" if time in YEARS else _epoch(time) or NUMBER


def _epoch(time: float) -> str:
    unit = next((name for name, size in EPOCHS.items() if EPOCH_SINCE <= time / size < EPOCH_UNTIL), "")
    return f"{unit} since 1970" if unit else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
