"""Finds a quote that opens a text and that none closes: as CSV, the rows up to the next quote are its text."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

FIRST_ROWS = 1000  # by which the columns are known
FEWEST_ROWS = 3
LINE_END = re.compile(r"\r\n|\r|\n")
WORD, NUMBER = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")


@dataclass(frozen=True)
class PlainRows:
    """The rows of a file that are one line each, of so many `columns`. `rows` opens the file; it is read when a row
    of several lines asks for it."""

    rows: Callable[[], Iterator[list[str]]]
    separator: str
    columns: int

    def swallowed(self, values: Sequence[str]) -> bool:
        """Whether a row of several lines looks like several rows, by its values.

        Each of its lines has all columns. Of the first line, those behind the quoted field look as they do in other
        rows, and of the last line those before it; the lines between do in at least one column. A column tells this
        where its values come again, as labels do, or are all of one shape, as ids and names of images are. An empty
        cell tells nothing: lines of a text may end in a comma.
        """
        broken = [place for place, value in enumerate(values) if LINE_END.search(value)]
        if self.columns < 2 or not broken:
            return False
        rows = [self._cells(line) for line in LINE_END.split(self.separator.join(values))]
        if any(len(cells) != self.columns for cells in rows):
            return False
        edges = [(rows[0], place) for place in self._looks if place > broken[-1]]
        edges += [(rows[-1], place) for place in self._looks if place < broken[0]]
        return (
            bool(edges)
            and all(self._looks[place](cells[place]) for cells, place in edges)
            and all(any(fits(cells[place]) for place, fits in self._looks.items()) for cells in rows[1:-1])
        )

    def _cells(self, line: str) -> list[str]:
        return [cell.strip() for cell in line.split(self.separator)]

    @cached_property
    def _looks(self) -> dict[int, Callable[[str], bool]]:
        """Of each column that tells rows from text, whether a cell looks like one of it."""
        plain = [row for row in self._first() if len(row) == self.columns and not any(map(LINE_END.search, row))]
        columns = zip(*plain, strict=True) if len(plain) >= FEWEST_ROWS else ()
        looks = ((place, _look_of(column)) for place, column in enumerate(columns))
        return {place: fits for place, fits in looks if fits is not None}

    def _first(self) -> Iterator[list[str]]:
        with suppress(csv.Error):  # reported as the rows are read
            yield from itertools.islice(self.rows(), FIRST_ROWS)


def _look_of(column: Iterable[str]) -> Callable[[str], bool] | None:
    cells = [cell.strip() for cell in column]
    values = set(cells) - {""}
    if 2 * len(values) <= len(cells):
        return values.__contains__
    shapes = set(map(_shape, values))
    is_text = any(re.search(r"\s", value) for value in values)
    return (lambda cell: _shape(cell) in shapes) if len(shapes) == 1 and not is_text else None


def _shape(cell: str) -> str:
    """What "m01.png" and "k7.png" share."""
    return NUMBER.sub("0", WORD.sub("a", cell))
