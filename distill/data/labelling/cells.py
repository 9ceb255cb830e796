"""How the cells of a table say which labels a row has: decided once a file, then read row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import EMPTY_WORDS, flag_of, is_missing
from distill.data.labelling.numbers import flags_in, names_of
from distill.data.labelling.python_cells import python_value
from distill.data.labelling.separators import OTHER_SEPARATORS, SEPARATOR, SEPARATOR_NAMES

PYTHON_CALL = re.compile(r"(frozenset|set|tuple|list|array|dict_keys|Index)\([\[({'\")]")
Labels = tuple[tuple[str, ...] | None, tuple[str, ...]]  # those that a row has, None if unknown; those unknown


@dataclass(frozen=True)
class LabelCells:
    """How to read the labels of a row.

    "names"    one column of names: a list, one name, several with a separator between them, or a name with 1, 0 or
               null each
    "flags"    a column a label, of 0, 1 or null; with a `cut`, of numbers
    "classes"  one column of whole numbers, which count the `names`, or are names themselves where there are none;
               and of other numbers that are `known`

    `names` are the labels of flags, and the classes; of "names", those that numbers count, if they count any.
    `known` are labels of which it is known that they are labels. Nothing is known of those of the `others` that a
    row does not name, where it says 1 or 0 of each. With `are_flags`, a cell of names is a string of 0 and 1 for
    each label; with `are_listed`, the numbers in a list are `known` names. `has_words` says that "nan" may stand
    for nothing, as pandas writes it to CSV, and `are_in_lists` that all cells of names are lists or dictionaries;
    `numbers` says what numbers in place of names are, if there are any.
    """

    kind: Literal["names", "flags", "classes"]
    columns: tuple[str, ...]
    names: tuple[str, ...] = ()
    separator: str = SEPARATOR
    is_separator_said: bool = False
    cut: float | None = None
    known: frozenset[str] = frozenset()
    are_flags: bool = False
    are_listed: bool = False
    are_in_lists: bool = False
    numbers: Literal["", "counts of labels, from 0", "names of labels"] = ""
    has_words: bool = False
    others: tuple[str, ...] = ()

    def read(self, row: Mapping[str, Any], where: str) -> Labels:
        """The labels of a row. Raises DataError."""
        if self.kind == "flags":
            return self._flags(row, where)
        value, column = row.get(self.columns[0]), self.columns[0]
        if value is None or (is_missing(value) and value != ""):
            return None, ()
        if self._is_word_for_nothing(value):
            return None, ()
        if self.kind == "classes":
            return self._class(value, f"{where}: {column}"), ()
        return self._names(value, where)

    def _is_word_for_nothing(self, value: Any) -> bool:
        return self.has_words and isinstance(value, str) and value in EMPTY_WORDS and value not in self.known

    def _flags(self, row: Mapping[str, Any], where: str) -> Labels:
        pairs = [(name, row.get(column)) for name, column in zip(self.names, self.columns, strict=True)]
        unknown = tuple(name for name, x in pairs if is_missing(x) or self._is_word_for_nothing(x))
        if len(unknown) == len(pairs):
            return None, unknown if len(pairs) > 1 else ()
        has = []
        for name, value in pairs:
            flag = 0 if name in unknown else flag_of(value) if self.cut is None else above(value, self.cut)
            if flag is None:
                wanted = "a number" if self.cut is not None else "0, 1 or nothing"
                raise DataError(
                    f"{where}: {short_repr(name)} must be {wanted}; got {short_repr(value)}. For other numbers, "
                    "--label-cut gives the least that counts as 1; for classes, list their names in labels.txt"
                )
            has += [name] * flag
        return tuple(has), (*unknown, *self.others)

    def _class(self, value: Any, where: str) -> tuple[str, ...] | None:
        if value == "":
            return None
        if not self.names and (listed := listed_name(value, self.known)) is not None:
            return (listed,)
        number = whole_number(value)
        if number is None or number >= max(len(self.names), 1 << 31) or (self.names and number >= len(self.names)):
            of = f" below {len(self.names)}, the number of labels" if self.names else ""
            raise DataError(f"{where} must be a whole number{of}; got {short_repr(value)}")
        if number < 0:  # of a class that is kept secret
            return None
        return (self.names[number] if self.names else str(number),)

    def _names(self, value: Any, where: str) -> Labels:
        if isinstance(value, str):
            value = self._parts(value, where)
        if isinstance(value, dict):
            return _named_flags(value, self.others, where)
        if isinstance(value, tuple | set | frozenset):
            value = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        if isinstance(value, list) and self.are_listed:
            value = [x if isinstance(x, str) else listed_name(x, self.known) or x for x in value]
        elif isinstance(value, list) and self.names and _is_flag_each(value, len(self.names)):
            return self._flag_each(value, where), ()
        elif isinstance(value, list) and self.names:
            value = names_of(value, self.names, f"{where}: {self._column()}")
        if isinstance(value, list) and any(map(_is_nothing, value)):
            return self._of_nothing(value, where)
        if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
            hint = ""
            if isinstance(value, list) and all(isinstance(each, int) for each in value):
                hint = ". Numbers count the lines of labels.txt, from 0"
            raise DataError(
                f"{where}: {self._column()} must be a list of names, names joined with {self.separator}, or a name "
                f"with 1, 0 or null each; got {short_repr(value)}{hint}"
            )
        return tuple(dict.fromkeys(value)), ()

    def _flag_each(self, flags: list[Any], where: str) -> tuple[str, ...]:
        """The labels of a list with 1 or 0 for each. Raises DataError where it may be the numbers of labels."""
        if len(flags) == 2 and flags[0] != flags[1] and not any(isinstance(x, bool | float) for x in flags):
            raise DataError(
                f"{where}: {self._column()} holds {short_repr(flags)}, which may be the numbers of the two "
                "labels or a 1 for one of them; write names"
            )
        return tuple(name for name, x in zip(self.names, flags, strict=True) if x)

    def _of_nothing(self, value: list[Any], where: str) -> Labels:
        """Unknown labels, of a list of nulls alone. Raises DataError for names beside a null."""
        if not all(map(_is_nothing, value)):
            raise DataError(
                f"{where}: {self._column()} holds {short_repr(value)}, with a null that may be a label that is not "
                "known or none; remove it, or write each name with 1, 0 or, where unknown, null"
            )
        return None, ()

    def _column(self) -> str:
        name = self.columns[0]
        return name if name == "labels" else f"the labels in column {short_repr(name)}"

    def _parts(self, cell: str, where: str) -> Any:
        """The names in one cell, or what Python has written there."""
        cell = cell.strip()
        if self.are_flags:
            return flags_in(cell) or [cell] * bool(cell)
        if cell in self.known:
            return [cell]
        if cell in ("set()", "()"):
            return []
        if cell[:1] + cell[-1:] in ("[]", "{}") or cell[:2] in ("('", '("'):
            return python_value(cell, where)
        if PYTHON_CALL.match(cell):
            raise DataError(
                f"{where}: {self._column()} holds {short_repr(cell)}, as Python writes an object; save it as "
                "a list: column.apply(list)"
            )
        if self.separator not in cell and not self.is_separator_said:
            for other in OTHER_SEPARATORS:
                if other in cell:
                    raise DataError(
                        f"{where}: {self._column()} holds {short_repr(cell)}: if {SEPARATOR_NAMES[other]} stands "
                        f"between labels, give --label-separator {short_repr(other)}; if it is part of a name, "
                        f"list the names in labels.txt or give --label-separator '|'"
                    )
        return [part.strip() for part in cell.split(self.separator) if part.strip()]


def _is_nothing(value: Any) -> bool:
    return value is None or value != value


def _is_flag_each(value: list[Any], labels: int) -> bool:
    """Whether a list is 1 or 0 for each label, and not the numbers of labels, none of which comes twice."""
    return len(value) == labels > 1 and all(isinstance(x, int | float) and x in (0, 1) for x in value)


def _named_flags(value: Mapping[str, Any], others: Sequence[str], where: str) -> Labels:
    strange = [x for x in value.values() if x is not None and (not isinstance(x, int | float) or x not in (0, 1))]
    if strange:
        raise DataError(
            f"{where}: labels must map each name to 1, 0 or, where unknown, null; got {short_repr(strange[0])}"
        )
    unknown = tuple(name for name, x in value.items() if x is None)
    if unknown and len(unknown) == len(value):
        return None, unknown
    omitted = tuple(name for name in others if name not in value)
    return tuple(name for name, x in value.items() if x), (*unknown, *omitted)


def above(value: Any, cut: float) -> int | None:
    """1 if a number is at least `cut`, 0 if it is less, None if it is no number."""
    number = number_of(value)
    return None if number is None else int(number >= cut)


def number_of(value: Any) -> float | None:
    """A finite number, also one that is written as a string."""
    if not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > 40):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def whole_number(value: Any) -> int | None:
    """A whole number, also one that is written as a float or a string."""
    number = number_of(value)
    return int(number) if number is not None and number == int(number) else None


def listed_name(value: Any, names: Collection[str]) -> str | None:
    """The one of the names that a cell holds: as it is written, or as the same whole number, as 1.0 is 1; None
    if it is none of them, or true or false."""
    if isinstance(value, bool):
        return None
    written = str(value).strip()
    if written in names:
        return written
    if (number := whole_number(value)) is None or str(number) in names:
        return None if number is None else str(number)
    same = [name for name in names if whole_number(name) == number]
    return same[0] if len(same) == 1 else None
