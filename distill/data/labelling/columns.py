"""Decides how the columns of labels are read, by what they hold, and says so in one note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import ColumnSurvey, Survey, flag_of
from distill.data.columns import Columns, list_columns
from distill.data.labelling.cells import LabelCells, listed_name, number_of, whole_number
from distill.data.labelling.numbers import flags_a_cell, numbers_only, wrong_length
from distill.data.labelling.python_cells import unwritten
from distill.data.labelling.separators import SEPARATOR, proven_separator, separator_name
from distill.data.labelling.suspicions import refuse_quoted, refuse_several, refuse_stray
from distill.data.likeness import label_key

MAX_CLASSES = 100  # different whole numbers in a column of classes; more of them measure something


@dataclass(frozen=True)
class KnownLabels:
    """The labels that are known before a file is read. Numbers count them, unless they are `sorted_from` the names
    in another file, which gives them no order."""

    names: tuple[str, ...] = ()
    sorted_from: Path | None = None

    def counted(self, found: object, path: Path, column: str) -> tuple[str, ...]:
        """The labels that numbers, such as those `found`, count. Raises DataError if nobody has given an order."""
        if self.sorted_from:
            raise DataError(
                f"{path}: column {short_repr(column)} holds {short_repr(found)} in place of names, and the labels "
                f"of {self.sorted_from} are {list_columns(self.names)}, whose order nobody has given; write "
                "names, or list the labels in labels.txt in the order of their numbers, from 0"
            )
        return self.names


def decide_labels(
    survey: Survey,
    names: tuple[str, ...],
    columns: Columns,
    known: KnownLabels,
    path: Path,
    one_label: bool = False,
) -> tuple[LabelCells, str]:
    """How to read the columns of these names, and a note of it, "" where nothing is to be said. With `one_label`,
    0 and 1, or yes and no, are two labels that exclude each other. Raises DataError."""
    labels = known.names
    if len(names) > 1 or columns.cut is not None:
        return _without_others(*_flags(survey, names, columns.cut, path), labels)
    name, column = names[0], survey.columns.get(names[0], ColumnSurvey())
    values = list(column.distinct.values())
    written = {str(value) for value in values}
    are_known = all(listed_name(value, labels) is not None for value in values)
    are_classes = {"0", "1"} <= set(labels) or are_known or (one_label and written <= set(labels or written))
    if values and all(flag_of(value) is not None for value in values) and not are_classes:
        if _count_labels(name, values, known):
            return _classes(name, known.counted(values[0], path, name))
        label = labels[0] if len(labels) == 1 else name
        note = f"label {short_repr(label)} is column {short_repr(name)}, of 0 and 1"
        return _without_others(LabelCells("flags", (name,), (label,)), note, labels)
    if not columns.separator and not written <= set(labels) and (each := flags_a_cell(values)):
        return _joined_flags(name, values[0], each, known, path)
    if values and all(number_of(value) is not None for value in values):
        return _numbers(name, column, known, path)
    lists = [value for value in map(_as_list, values) if isinstance(value, list | dict)]
    numbered: list[list[Any]] = [value for value in lists if isinstance(value, list) and numbers_only(value)]
    are_listed = _are_listed_names(numbered, labels)
    if labels and numbered and not are_listed:
        counted = known.counted(numbered[0], path, name)
        _refuse_wrong_length(name, numbered, len(counted), path)
    cells, note = _names(name, column, columns.separator, known, path)
    cells = replace(cells, are_listed=are_listed, are_in_lists=len(lists) == len(values))
    if labels and any(len(each) != len(labels) or set(each) - {0, 1} for each in numbered):
        cells = replace(cells, numbers="names of labels" if are_listed else "counts of labels, from 0")
        are = "are names of labels" if are_listed else f"count the {len(labels)} labels, from 0"
        note = "; ".join(filter(None, [note, f"numbers in the lists of column {short_repr(name)} {are}"]))
    if column.says_no:  # else a row names only what it has, and what is unknown
        cells = replace(cells, others=tuple(dict.fromkeys((*column.keys, *labels))))
    return cells, note


def _count_labels(name: str, values: Sequence[Any], known: KnownLabels) -> bool:
    """Whether 0 and 1 are the numbers of labels: of two or more, none of which is the column itself."""
    if len(known.names) < 2 or label_key(name) in map(label_key, known.names):
        return False
    are_numbers = all(number_of(value) is not None and not isinstance(value, bool) for value in values)
    return known.sorted_from is not None or len(known.names) == 2 or are_numbers


def _as_list(value: object) -> Any:
    value = unwritten(value)
    return list(value) if isinstance(value, tuple | set) else value


def _are_listed_names(lists: Sequence[list[Any]], labels: Sequence[str]) -> bool:
    """Whether the numbers in lists are names of labels, all of which are numbers, and not a 0 or 1 for each, nor
    repeated, which names are not."""
    if not lists or not labels or any(number_of(label) is None for label in labels):
        return False
    if all(len(each) == len(labels) and all(x in (0, 1) for x in each) for each in lists):
        return False
    return all(
        len(set(each)) == len(each) and all(listed_name(x, labels) is not None for x in each) for each in lists
    )


def _refuse_wrong_length(name: str, lists: Sequence[list[Any]], labels: int, path: Path) -> None:
    if (wrong := wrong_length(lists, labels)) is not None:
        raise DataError(
            f"{path}: column {short_repr(name)} holds {short_repr(wrong)} and the like, {len(wrong)} times 0 or 1, "
            f"and there are {labels} labels; write a 0 or 1 for each of these in their order, or names"
        )


def _joined_flags(name: str, value: object, each: int, known: KnownLabels, path: Path) -> tuple[LabelCells, str]:
    """A column of strings of `each` 0 and 1, such as `value`. Raises DataError unless labels are known for them."""
    labels = known.counted(value, path, name)
    if len(labels) != each:
        listed = f"which lists {len(labels)}" if labels else "a line each, in this order"
        raise DataError(
            f"{path}: column {short_repr(name)} holds {short_repr(value)} and the like, which look like 0 or "
            f"1 for each of {each} labels; name them in labels.txt, {listed}, or write names. If 0 and 1 are names "
            "of labels, --label-separator says what stands between them"
        )
    note = f"column {short_repr(name)} holds 0 or 1 for each of the {each} labels"
    return LabelCells("names", (name,), labels, known=frozenset(labels), are_flags=True), note


def _without_others(cells: LabelCells, note: str, labels: Sequence[str]) -> tuple[LabelCells, str]:
    """The same, where nothing is known of those of the `labels` that have no column."""
    others = tuple(label for label in labels if label not in cells.names)
    if others:
        note += f"; {list_columns(others)} {'have' if len(others) > 1 else 'has'} no column, and so are unknown"
    return replace(cells, others=others), note


def _flags(survey: Survey, names: tuple[str, ...], cut: float | None, path: Path) -> tuple[LabelCells, str]:
    for name in names:
        column = survey.columns.get(name, ColumnSurvey())
        for key, value in column.distinct.items():
            if (flag_of(value) if cut is None else number_of(value)) is None:
                number, row = number_of(value) is not None, column.first_rows[key]
                raise DataError(
                    f"{path}: row {row}: column {short_repr(name)} holds {short_repr(value)}, where a label's "
                    "column holds "
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


def _numbers(name: str, column: ColumnSurvey, known: KnownLabels, path: Path) -> tuple[LabelCells, str]:
    """A column of numbers as classes. Raises DataError for what is none."""
    labels = known.names
    if _are_padded_names(name, column, labels, path):
        return LabelCells("names", (name,), labels, known=frozenset(labels)), ""
    values = list(column.distinct.values())
    numbers = [whole_number(value) for value in values]
    where = f"{path}: column {short_repr(name)}"
    if _are_listed(values, labels, where):
        unknown = "; -1 is read as unknown" if -1 in numbers and "-1" not in labels else ""
        note = f"labels are the numbers in column {short_repr(name)}{unknown}"
        are_secret = not any(listed_name(value, labels) for value in values)  # all are -1
        cells = LabelCells("classes", (name,), known=frozenset(labels))
        return cells if are_secret else replace(cells, numbers="names of labels"), note
    if any(number is not None and number < -1 for number in numbers):
        raise DataError(
            f"{where} holds {min(number for number in numbers if number is not None)}: a class is numbered from 0, "
            "and -1 is an unknown one; --label-cut NUMBER gives the least that counts as 1"
        )
    unknown = "; -1 is read as unknown" if -1 in numbers else ""
    if any(number is None for number in numbers):
        strange = next(value for value in values if whole_number(value) is None)
        raise DataError(
            f"{where} holds {short_repr(strange)}: of numbers, --label-cut NUMBER gives the least that counts as 1"
        )
    classes = sorted({number for number in numbers if number is not None and number >= 0})
    if labels and not (known.sorted_from and all(label.isdecimal() for label in labels)):
        cells, note = _classes(name, known.counted(classes[0] if classes else -1, path, name))
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


def _are_listed(values: Sequence[Any], labels: Sequence[str], where: str) -> bool:
    """Whether numbers are names of the `labels`, apart from -1, an unknown one. Raises DataError for one that is
    none, beside names that cannot be the numbers of labels."""
    listed = [value for value in values if listed_name(value, labels) is not None]
    others = [value for value in values if listed_name(value, labels) is None and whole_number(value) != -1]
    are_no_classes = any((whole_number(value) or 0) < 0 or whole_number(value) is None for value in listed)
    if others and are_no_classes:
        raise DataError(
            f"{where} holds {short_repr(others[0])}, which is none of the labels {list_columns(labels)}; other "
            f"rows hold these, such as {short_repr(listed[0])}; write one of them, or list it in labels.txt"
        )
    return bool(labels) and not others


def _are_padded_names(name: str, column: ColumnSurvey, labels: Sequence[str], path: Path) -> bool:
    """Whether numbers with zeros before them, such as 007, are names of labels. Raises DataError if 007 and 7 would
    be one class."""
    values = {value.strip() for value in column.distinct.values() if isinstance(value, str)}
    if not any(len(value) > 1 and value.startswith("0") and value.isdecimal() for value in values):
        return False
    if values <= set(labels):
        return True
    written: dict[float | None, str] = {}
    for value in sorted(values):
        if (other := written.setdefault(number_of(value), value)) != value:
            raise DataError(
                f"{path}: column {short_repr(name)} holds {short_repr(other)} and {short_repr(value)}, which are "
                "one number; write each class in one way, or list both in labels.txt if they are names"
            )
    return False


def _classes(name: str, labels: tuple[str, ...]) -> tuple[LabelCells, str]:
    note = f"column {short_repr(name)} counts the {len(labels)} labels, from 0"
    return LabelCells("classes", (name,), labels, numbers="counts of labels, from 0"), note


def _names(name: str, column: ColumnSurvey, said: str, known: KnownLabels, path: Path) -> tuple[LabelCells, str]:
    """A column of names, with the separator that is `said` between them. Raises DataError where one may be
    several."""
    names, where = frozenset(known.names), f"{path}: column {short_repr(name)}"
    cells = [value for value in column.distinct.values() if isinstance(value, str) and not _is_python(value)]
    note = "" if name == "labels" else f"labels are column {short_repr(name)}"
    separator, added = said, ""
    if said == "\t" and not any("\t" in cell for cell in cells) and any("\\t" in cell for cell in cells):
        separator, added = "\\t", "separated by a backslash and a t"
    elif said and said != SEPARATOR and cells and not any(said in cell for cell in cells):
        added = f"none of them with the separator {short_repr(said)}"
    elif not said and (separator := proven_separator({cell: column.counts[cell] for cell in cells}, names)):
        added = f"separated by {separator_name(separator)}"
    is_used = bool(separator) or any(SEPARATOR in cell for cell in cells)
    separator = separator or SEPARATOR
    labels = {part.strip() for cell in cells for part in cell.split(separator)} - {""} - names
    refuse_quoted(labels, where)
    refuse_stray(name, column, separator, names, path)
    if not said:
        refuse_several(labels, separator if is_used else "", names, where)
    if added:
        note = f"{note + ',' if note else 'labels are'} {added}"
    counted = () if known.sorted_from else known.names
    return LabelCells("names", (name,), counted, separator, is_used, known=names), note


def _is_python(value: str) -> bool:
    return value.lstrip().startswith(("[", "{"))
