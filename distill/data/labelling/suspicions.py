"""Refuses names of labels that are probably something else: several names, one in quotes, a word among numbers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import ColumnSurvey, flag_of
from distill.data.labelling.cells import number_of
from distill.data.labelling.separators import SEPARATOR, separator_name, suspected_separator

MANY = 20  # cells of yes or no beside one of another word


def refuse_several(labels: Collection[str], used: str, known: frozenset[str], where: str) -> None:
    """Raise DataError for a label that consists of others, and is not `known`. `used` is what stands between labels
    in some cells, "" if nothing does."""
    sign, example = suspected_separator(labels, known)
    if not sign:
        return
    what = f"{where} holds {short_repr(example)}, and its parts as labels too"
    if used:
        raise DataError(
            f"{what}: {separator_name(used)} stands between labels in other rows; write it in all rows, or, if "
            f"{separator_name(sign)} is part of a name, list the names in labels.txt or give --label-separator "
            f"{short_repr(used)}"
        )
    raise DataError(
        f"{what}: if {separator_name(sign)} stands between labels, give --label-separator {short_repr(sign)}; if "
        f"it is part of a name, list the names in labels.txt or give --label-separator {short_repr(SEPARATOR)}"
    )


def refuse_quoted(labels: Collection[str], where: str) -> None:
    """Raise DataError for a name in quotes: those of CSV are double ones, directly behind the separator."""
    for label in sorted(labels):
        if len(label) > 2 and label[0] == label[-1] and label[0] in "\"'" and label[0] not in label[1:-1]:
            raise DataError(
                f"{where} holds {short_repr(label)}, a label in quotes that are part of it; save the file with "
                "double quotes and no blank before them, or list the names in labels.txt"
            )


def refuse_stray(name: str, column: ColumnSurvey, separator: str, known: frozenset[str], path: Path) -> None:
    """Raise DataError for a word in a column of numbers, which it would turn into names; warn of one in a column of
    yes and no. Numbers that are all `known` are names."""
    cells = {key: value for key, value in column.distinct.items() if isinstance(value, str | int | float)}
    numbers = {key for key, value in cells.items() if _are_numbers(value, separator)}
    words = [key for key in cells if key not in numbers and key.strip()[:1] not in ("[", "{", "(")]
    count = sum(column.counts[key] for key in numbers)
    are_known = known.issuperset(part.strip() for key in numbers for part in key.split(separator))
    if words and not are_known and count > sum(column.counts[key] for key in words):
        where = f"{path}: row {column.first_rows[words[0]]}: column {short_repr(name)}"
        raise DataError(
            f"{where} holds {short_repr(words[0])}, where {count} rows hold numbers, such as "
            f"{min(numbers, key=len)}; write a number, or nothing where it is not known. If these are names of "
            "labels, list them in labels.txt"
        )
    flags = {key for key, value in cells.items() if key not in numbers and flag_of(value) is not None}
    others = [key for key in cells if key not in flags and key not in known]
    rows = sum(column.counts[key] for key in others)
    if others and len(flags) > 1 and sum(column.counts[key] for key in flags) >= MANY * rows:
        from distill.core.output.terminal import warn  # a device that measures a packed benchmark may lack it

        where = f"{path}: row {column.first_rows[others[0]]}: column {short_repr(name)}"
        warn(
            f"{where} holds {short_repr(others[0])}, where nearly all rows hold {' or '.join(sorted(flags))}, so "
            "that each is a label of its own; write nothing where it is not known"
        )


def _are_numbers(value: object, separator: str) -> bool:
    """Whether a cell is a number, or several."""
    parts = value.split(separator) if isinstance(value, str) else [value]
    return all(number_of(part) is not None for part in parts)
