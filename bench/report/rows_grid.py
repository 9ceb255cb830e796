"""A table with a line for each variant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.text import NONE
from bench.report.types import Row
from distill.scoring.estimate import Estimate


def rows_grid(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Row],
    cells: Callable[[Row], Iterable[str]],
    page_only: int = 0,
) -> Grid:
    """A line a variant, under its name; the own one is emphasised."""
    lines = tuple((row.name, *cells(row)) for row in rows)
    return Grid(title, ("", *headings), lines, own_rows(rows), page_only=page_only)


def own_rows(rows: Iterable[Row]) -> tuple[Emphasis, ...]:
    """The emphasis of these rows' lines."""
    return tuple("strong" if row.own else "" for row in rows)


def figure(value: Estimate | float | None, spec: str, none: str = NONE) -> str:
    """A figure as a cell shows it, or what stands there where it is missing."""
    return none if value is None else f"{value:{spec}}"
