"""Puts the lines of text on an image into reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Share of a line's thickness that is cut off on both sides: boxes reach a little over their letters, and lines that
# stand close would have no gap between them.
TRIM = 0.25


@dataclass(frozen=True)
class TextLine:
    """A piece of text and the upright rectangle around it, in pixels from the top left."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Cut:
    """Two groups of lines, one read before the other, and the pixels between them."""

    gap: float
    first: list[TextLine]
    rest: list[TextLine]


def sort_lines(lines: Sequence[TextLine]) -> list[TextLine]:
    """In reading order: top to bottom and left to right, column by column where there are columns.

    The widest gap that runs through all the lines, between upper and lower ones or left and right ones, divides
    them, and each part is divided again (a recursive X-Y cut, Nagy and Seth 1984): lines of one caption stand
    nearer to each other than two captions or two columns do.
    """
    ordered, pending = [], [list(lines)]
    while pending:
        group = pending.pop()
        cuts = [cut for vertical in (True, False) if (cut := _widest_gap(group, vertical)) is not None]
        if not cuts:
            ordered += _by_rows(group)
            continue
        widest = max(cuts, key=lambda cut: cut.gap)
        pending += [widest.rest, widest.first]
    return ordered


def _widest_gap(lines: Sequence[TextLine], vertical: bool) -> Cut | None:
    """The widest gap along the vertical axis, between upper and lower lines, or along the horizontal one."""
    spans = sorted(((*_span(line, vertical), line) for line in lines), key=lambda span: span[:2])
    gap, at, reach = 0.0, 0, float("inf")
    for place, (start, end, _) in enumerate(spans):
        if start - reach > gap:
            gap, at = start - reach, place
        reach = end if place == 0 else max(reach, end)
    ordered = [line for _, _, line in spans]
    return Cut(gap, ordered[:at], ordered[at:]) if at else None


def _span(line: TextLine, vertical: bool) -> tuple[float, float]:
    """Start and end of a line along one axis, trimmed where that is the line's thickness."""
    start, end = (line.top, line.bottom) if vertical else (line.left, line.right)
    flat = line.right - line.left >= line.bottom - line.top
    trim = TRIM * (end - start) if flat == vertical else 0.0
    return start + trim, end - trim


def _by_rows(lines: Sequence[TextLine]) -> list[TextLine]:
    """Order boxes that overlap: a line belongs to a row when its middle is level with the row's first line."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=_middle):
        if rows and rows[-1][0].top <= _middle(line) <= rows[-1][0].bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]


def _middle(line: TextLine) -> float:
    return (line.top + line.bottom) / 2
