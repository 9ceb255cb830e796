"""What the columns of a table hold, within bounds of memory: by it the columns' roles are decided."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.data.image_names import IMAGE_SUFFIXES, is_data_url, is_on_web
from distill.data.labelling.python_cells import unwritten

MAX_COLUMNS = 10_000
MAX_DISTINCT = 2000  # values of a column that are kept
MAX_VALUE = 500  # characters of a value that is kept
LONG_TEXT = 4  # words
# What pandas and databases write for an empty cell of a text file.
EMPTY_WORDS = frozenset(("nan", "NaN", "None", "<NA>", "NULL", "null", "NaT", "#N/A", "\\N")) | {
    *("#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!")  # errors of Excel
}
FLAGS: dict[Any, int] = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "true": 1, "false": 0, "yes": 1, "no": 0} | {
    **{"t": 1, "f": 0, "y": 1, "n": 0}  # t and f are PostgreSQL's
}
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
LIST_OF_STRINGS = re.compile(r"\s*\[\s*(['\"].*)?\]\s*", re.DOTALL)


def is_missing(value: Any) -> bool:
    """Whether nothing stands in a cell: None, pandas' NaN, or no characters."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def flag_of(value: Any) -> int | None:
    """1 or 0 of a number, a bool or a word that says so; None of anything else."""
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower())
    return int(value) if isinstance(value, int | float) and value in (0, 1) else None


def dictionary_of(value: Any) -> dict[Any, Any] | None:
    """A dictionary, also one that is written into a cell; None of anything else."""
    value = unwritten(value) if isinstance(value, str) and value.lstrip().startswith("{") else value
    return value if isinstance(value, dict) else None


def looks_like_image(value: Any) -> bool:
    """Whether a cell holds an image or the name of one."""
    if isinstance(value, dict):
        return "bytes" in value or ("path" in value and looks_like_image(value["path"]))
    if isinstance(value, str):
        name = value.strip().lower()
        name = re.split("[?#]", name, maxsplit=1)[0] if is_on_web(name) else name
        return is_data_url(value[:5]) or name.endswith(IMAGE_SUFFIXES)
    return isinstance(value, bytes)


def looks_like_labels(value: Any) -> bool:
    """Whether a cell holds 0 or 1, or a list of names, also as pandas writes one."""
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    if isinstance(value, dict):
        return bool(value) and all(each is None or flag_of(each) is not None for each in value.values())
    return flag_of(value) is not None or (isinstance(value, str) and LIST_OF_STRINGS.fullmatch(value) is not None)


def looks_like_text(value: Any) -> bool:
    """Whether a cell holds several words."""
    return (
        isinstance(value, str) and len(value.split(None, LONG_TEXT)) >= LONG_TEXT and not looks_like_labels(value)
    )


@dataclass
class ColumnSurvey:
    """Of one column: in how many rows it is, how many of its cells are filled, how many look like an image, labels
    or a text, and distinct cells, in order, with their counts and first rows; `is_whole` if these are all. `keys`
    are those of all dictionaries in it, in order, and `says_no` whether one of them says 0 of a key."""

    rows: int = 0
    filled: int = 0
    images: int = 0
    labels: int = 0
    texts: int = 0
    distinct: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, int] = field(default_factory=dict)
    is_whole: bool = True
    empty_words: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    says_no: bool = False

    def add(self, value: Any, row: int) -> None:
        """Count one cell of the row of this number."""
        self.rows += 1
        if is_missing(value):
            return
        if isinstance(value, str) and value in EMPTY_WORDS:
            self.empty_words.add(value)
            return
        self.filled += 1
        if looks_like_image(value):
            self.images += 1
        elif looks_like_labels(value):
            self.labels += 1
        elif looks_like_text(value):
            self.texts += 1
        if (flags := dictionary_of(value)) is not None and len(self.keys) <= MAX_COLUMNS:
            self.keys |= dict.fromkeys(map(str, flags))
            self.says_no |= any(flag_of(flag) == 0 for flag in flags.values())
        self._keep(value, row)

    def _keep(self, value: Any, row: int) -> None:
        if isinstance(value, bytes):
            self.is_whole = False
            return
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            value = {"path": value.get("path")}
        key = value if isinstance(value, str) else repr(value)
        if len(key) > MAX_VALUE or (len(self.distinct) >= MAX_DISTINCT and key not in self.distinct):
            self.is_whole = False
        else:
            self.distinct.setdefault(key, value)
            self.first_rows.setdefault(key, row)
            self.counts[key] += 1

    def holds_names(self, rows: int) -> bool:
        """Whether each of the rows has a string of its own, which is no number, as far as they are kept."""
        values = self.distinct.values()
        are_names = all(isinstance(value, str) and not NUMBER.fullmatch(value.strip()) for value in values)
        return are_names and self.filled == rows > 0 and (not self.is_whole or len(values) == rows)

    def holds(self, role: str) -> bool:
        """Whether most of its filled cells look like an image or a text, or all like labels."""
        if role == "labels":
            return 0 < self.filled == self.labels
        return self.filled < 2 * {"image": self.images, "text": self.texts}.get(role, 0)

    def repeats(self, most: int) -> bool:
        """Whether its values come twice on average, and there are at most so many of them, as of classes."""
        return self.is_whole and 2 * len(self.distinct) <= min(self.filled, 2 * most)

    def is_one_or_nothing(self, rows: int) -> bool:
        """Whether the filled ones of the table's rows all have one value."""
        return self.is_whole and len(self.distinct) == 1 and self.filled < rows


@dataclass
class Survey:
    """The columns of a table in order, and its number of rows."""

    columns: dict[str, ColumnSurvey] = field(default_factory=dict)
    rows: int = 0

    @classmethod
    def of(cls, rows: Iterable[tuple[int, dict[str, Any] | DataError]], path: Path) -> Survey:
        """The survey of rows that can be read. Raises DataError for more than MAX_COLUMNS columns."""
        survey = cls()
        for number, row in rows:
            if isinstance(row, DataError):
                continue
            survey.rows += 1
            for name, value in row.items():
                survey.columns.setdefault(name, ColumnSurvey()).add(value, number)
            if len(survey.columns) > MAX_COLUMNS:
                raise DataError(f"{path}: row {number}: more than {MAX_COLUMNS:,} columns")
        return survey

    def __contains__(self, name: object) -> bool:
        return name in self.columns
