"""Decides how the columns of labels are read, by what they hold, and says so in one note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import ColumnSurvey, Survey, flag_of
from distill.data.columns import Columns, list_columns
from distill.data.label_cells import (
    SEPARATOR,
    SEPARATOR_NAMES,
    LabelCells,
    number_of,
    proven_separator,
    suspected_separator,
    whole_number,
)
from distill.data.labels import LabelSet

MAX_CLASSES = 100  # different whole numbers in a column of classes; more of them measure something


def decide_labels(
    survey: Survey,
    names: tuple[str, ...],
    columns: Columns,
    known: LabelSet | None,
    path: Path,
    one_label: bool = False,
) -> tuple[LabelCells, str]:
    """How to read the columns of these names, and a note of it, "" where nothing is to be said. With `one_label`,
    0 and 1, or yes and no, are two labels that exclude each other. Raises DataError."""
    labels = known.names if known else ()
    if len(names) > 1 or columns.cut is not None:
        return _without_others(*_flags(survey, names, columns.cut, path), labels)
    name, column = names[0], survey.columns.get(names[0], ColumnSurvey())
    values = list(column.distinct.values())
    are_classes = {"0", "1"} <= set(labels) or (
        one_label and {*map(str, values)} <= set(labels or map(str, values))
    )
    if values and all(flag_of(value) is not None for value in values) and not are_classes:
        if len(labels) == 2 and name not in labels:
            return _classes(name, labels)
        label = labels[0] if len(labels) == 1 else name
        note = f"label {short_repr(label)} is column {short_repr(name)}, of 0 and 1"
        return _without_others(LabelCells("flags", (name,), (label,)), note, labels)
    if values and all(number_of(value) is not None for value in values):
        return _numbers(name, column, labels, path)
    cells, note = _names(name, values, columns.separator, labels, path)
    if column.says_no:  # else a row names only what it has, and what is unknown
        cells = replace(cells, others=tuple(dict.fromkeys((*column.keys, *labels))))
    return cells, note


def _without_others(cells: LabelCells, note: str, labels: Sequence[str]) -> tuple[LabelCells, str]:
    """The same, where nothing is known of those of the `labels` that have no column."""
    others = tuple(label for label in labels if label not in cells.names)
    if others:
        note += f"; {list_columns(others)} {'have' if len(others) > 1 else 'has'} no column, and so are unknown"
    return replace(cells, others=others), note


def _flags(survey: Survey, names: tuple[str, ...], cut: float | None, path: Path) -> tuple[LabelCells, str]:
    for name in names:
        column = survey.columns.get(name, ColumnSurvey())
        for value in column.distinct.values():
            if (flag_of(value) if cut is None else number_of(value)) is None:
                number = number_of(value) is not None
                raise DataError(
                    f"{path}: column {short_repr(name)} holds {short_repr(value)}, where a label's column holds "
                    + (
                        "numbers for --label-cut"
                        if cut is not None
                        else "0, 1 or nothing"
                        + ("; --label-cut NUMBER gives the least that counts as 1" if number else "")
                    )
                )
    what = "0 and 1" if cut is None else f"numbers, where {cut:g} and more is 1"
    many = f"labels are the {len(names)} columns" if len(names) > 1 else "label is the column"
    return LabelCells("flags", names, names, cut=cut), f"{many} {list_columns(names)}, of {what}"


def _numbers(name: str, column: ColumnSurvey, labels: Sequence[str], path: Path) -> tuple[LabelCells, str]:
    """A column of numbers as classes. Raises DataError for what is none."""
    numbers = [whole_number(value) for value in column.distinct.values()]
    where = f"{path}: column {short_repr(name)}"
    if any(number is not None and number < -1 for number in numbers):
        raise DataError(
            f"{where} holds {min(number for number in numbers if number is not None)}: a class is numbered from 0, "
            "and -1 is an unknown one; --label-cut NUMBER gives the least that counts as 1"
        )
    unknown = "; -1 is read as unknown" if -1 in numbers else ""
    if any(number is None for number in numbers):
        strange = next(value for value in column.distinct.values() if whole_number(value) is None)
        raise DataError(
            f"{where} holds {short_repr(strange)}: of numbers, --label-cut NUMBER gives the least that counts as 1"
        )
    classes = sorted({number for number in numbers if number is not None and number >= 0})
    if set(map(str, classes)) <= set(labels):
        return LabelCells("classes", (name,)), f"labels are the numbers in column {short_repr(name)}{unknown}"
    if labels:
        cells, note = _classes(name, tuple(labels))
        return cells, note + unknown
    if not column.is_whole or not 2 <= len(classes) <= MAX_CLASSES or classes[-1] > MAX_CLASSES:
        raise DataError(
            f"{where} holds whole numbers, such as {list_columns(numbers[:3])}; labels must be a list of names or "
            "the numbers of classes, whose names labels.txt lists from 0; otherwise --label-cut NUMBER gives the "
            "least that counts as 1"
        )
    shown = ", ".join(map(str, classes[:5])) + ", ..." * (len(classes) > 5)
    note = (
        f"labels are the numbers in column {short_repr(name)}: {shown}; labels.txt can name them, from 0{unknown}"
    )
    return LabelCells("classes", (name,)), note


def _classes(name: str, labels: tuple[str, ...]) -> tuple[LabelCells, str]:
    note = f"column {short_repr(name)} counts the {len(labels)} labels, from 0"
    return LabelCells("classes", (name,), labels), note


def _names(
    name: str, values: Sequence[object], separator: str, labels: tuple[str, ...], path: Path
) -> tuple[LabelCells, str]:
    """A column of names. Raises DataError where one may be several."""
    known = frozenset(labels)
    cells = [value for value in values if isinstance(value, str) and not value.lstrip().startswith(("[", "{"))]
    note = "" if name == "labels" else f"labels are column {short_repr(name)}"
    if not separator and (proven := proven_separator(cells, known)):
        said = f"{note + ',' if note else 'labels are'} separated by {SEPARATOR_NAMES[proven]}"
        return LabelCells("names", (name,), labels, proven, known=known), said
    if not separator and (suspected := suspected_separator(cells, known)):
        example = next(cell for cell in cells if suspected in cell.strip())
        raise DataError(
            f"{path}: column {short_repr(name)} holds {short_repr(example)}, and its parts as labels too: if "
            f"{SEPARATOR_NAMES.get(suspected, suspected)} stands between labels, give --label-separator "
            f"{short_repr(suspected)}; if it is part of a name, list the names in labels.txt or give "
            "--label-separator '|'"
        )
    is_said = bool(separator) or any(SEPARATOR in cell for cell in cells)
    return LabelCells("names", (name,), labels, separator or SEPARATOR, is_said, known=known), note
