"""Whether a row that is to be labelled carries a label already, in whatever column and notation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from distill.data.column_survey import EMPTY_WORDS, flag_of, is_missing
from distill.data.columns import Columns
from distill.data.labelling.python_cells import unwritten
from distill.data.labelling.separators import LISTS
from distill.data.labels import LabelSet
from distill.data.likeness import label_key
from distill.data.roles import could_be

CLASSES = ("label", "labels", "class")  # columns in which a number is a label


def carries_label(row: Mapping[str, Any], said: Columns, labels: LabelSet) -> bool:
    """Whether the columns of labels that are `said` hold anything, or else a column of a well-known name a label of
    the set, or one named like a label 0 or 1."""
    named = [name for name in row if any(fnmatchcase(name, pattern) for pattern in said.labels)]
    if named:
        return any(not _is_empty(row[name]) for name in named)
    known = set(map(label_key, labels.names))
    if any(flag_of(row[name]) is not None for name in labels.names if name in row):
        return True
    return any(
        not known.isdisjoint(map(label_key, _names(row[name])))
        or _all_known(row[name], said.separator, known)
        or (name.lower() in CLASSES and not _is_empty(row[name]) and _is_class(row[name]))
        for name in could_be("labels", row)
    )


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return value in EMPTY_WORDS or value.strip() in ("", "[]", "{}", "-1")
    if isinstance(value, Mapping):
        return all(each is None for each in value.values())
    return is_missing(value) or value in (-1, [], ())


def _is_class(value: Any) -> bool:
    return str(value).strip().isdecimal()


def _all_known(value: Any, separator: str, known: set[str]) -> bool:
    """Whether a cell is labels with the separator that is said between them; a space is in prose too."""
    parts = value.split(separator) if separator and isinstance(value, str) else []
    keys = {label_key(part) for part in parts if part.strip()}
    return bool(keys) and keys <= known


def _names(value: Any) -> Iterator[str]:
    """The names in a cell: one, several with any usual separator, or those of a list, also as it is written in
    CSV."""
    value = unwritten(value)
    if isinstance(value, Mapping):
        yield from (str(name) for name, known in value.items() if known is not None)
    elif isinstance(value, list | tuple | set):
        yield from map(str, value)
    elif isinstance(value, str):
        yield value
        yield from LISTS.split(value)
