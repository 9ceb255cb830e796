"""The column of a file that says which split each row belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.column_survey import is_missing
from distill.data.columns import Columns, list_columns, normal_name
from distill.data.formats.open_table import open_table
from distill.data.formats.parquet import is_parquet
from distill.data.formats.splits import split_of
from distill.data.formats.text import head

BEGIN = 1 << 16  # bytes of a file in which its columns are named
# In this order: of two columns that name splits, the first counts. As `normal_name` writes them.
DIVIDING = ("split", "splits", "datasplit", "datasetsplit", "fold", "folds", "foldid", "kfold", "cvfold")
NAMES = (*DIVIDING, "set", "subset", "partition")  # the latter may say something else of a row
MAX_KEPT = 5  # values that are no split


@dataclass
class SplitColumn:
    """A column called like one of splits: the `splits` by the values that name one, and the first `others`, "" for
    none, with the first row that has each; how many `rows` there are, and how many are `divided`, naming one."""

    name: str
    splits: dict[str, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    divided: int = 0

    def add(self, row: Mapping[str, Any], number: int) -> None:
        """Count one row."""
        value = cell_of(row, self.name)
        self.rows += 1
        if value not in self.splits and value not in self.others:
            if split := split_of(value):
                self.splits[value] = split
            elif len(self.others) < MAX_KEPT:
                self.others[value] = number
        self.divided += value in self.splits

    @property
    def names_splits(self) -> bool:
        """Whether it is meant to divide the rows. In a column of a name that may say something else, such as set,
        all rows name splits, or most rows name several: one may be a word of another kind, as train is."""
        if normal_name(self.name) in DIVIDING or not self.others:
            return bool(self.splits)
        return len(set(self.splits.values())) > 1 and 2 * self.divided > self.rows

    @property
    def doubt(self) -> str:
        """What to say of a column that divides rows in no known way; "" where it may mean something else."""
        if self.splits or normal_name(self.name) not in DIVIDING or not any(self.others):
            return ""
        values = list_columns(filter(None, self.others))
        return f"column {short_repr(self.name)} ({values}) names no splits and divides nothing"


def cell_of(row: Mapping[str, Any], column: str) -> str:
    """What a row has in the column of splits, "" for nothing."""
    value = row.get(column)
    return "" if is_missing(value) else str(value).strip()


def find_split_column(path: Path, said: Columns) -> SplitColumn | None:
    """The column that names the split of every row of a file, or else the first that might divide it; None without
    any. Those that are `said` to be something else are none. Raises DataError for one that names the splits of some
    rows alone."""
    if not is_parquet(path):  # a quick look, before a file is read once more
        begin = head(path, BEGIN).replace(b"\0", b"").lower()
        if not any(name in begin for name in (b"split", b"fold", b"set", b"partition")):
            return None
    rows = ((n, row) for n, row in open_table(path, as_is=True).rows if isinstance(row, dict))
    columns = [column for column in _survey(rows) if not said.names(column.name)]
    naming = next((column for column in columns if column.names_splits), None)
    if naming is not None and naming.others:
        value, number = next(iter(naming.others.items()))
        holds = f"is {short_repr(value)}, which is no split that is known" if value else "is empty"
        raise DataError(
            f"{path}: row {number}: column {short_repr(naming.name)} {holds}, where other rows say "
            f"{list_columns(naming.splits)}; write train, dev or test in each row, or rename the column to have "
            "the rows divided anew"
        )
    return naming or next((column for column in columns if column.doubt), None)


def _survey(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[SplitColumn]:
    """The columns called like one of splits, in the order of NAMES."""
    columns: dict[str, SplitColumn] = {}
    seen: dict[str, None] = {}
    first = None
    for number, row in rows:
        first = first or number
        for name in [name for name in row if name not in seen]:
            seen[name] = None
            if normal_name(name) in NAMES:
                columns[name] = SplitColumn(name)
                if number > first:  # the rows before it have none
                    columns[name].add({}, first)
        for column in columns.values():
            column.add(row, number)
    return sorted(columns.values(), key=lambda column: NAMES.index(normal_name(column.name)))
