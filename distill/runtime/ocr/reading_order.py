"""Lines of text in the order in which a reader takes them. Knows boxes on an image, not how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Of a line's thickness, off both sides: boxes reach a little over their letters, and lines that stand close would
# have no gap between them.
TRIM = 0.25


@dataclass(frozen=True)
class Line:
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
    first: list[Line]
    rest: list[Line]


def in_order(lines: Sequence[Line]) -> list[Line]:
    """Top to bottom and left to right, column by column where there are columns.

    The widest gap that runs through all the lines, between upper and lower ones or left and right ones, divides
    them, and each part is divided again (a recursive X-Y cut, Nagy and Seth 1984): lines of one caption stand
    nearer to each other than two captions or two columns do.
    """
    ordered, pending = [], [list(lines)]
    while pending:
        group = pending.pop()
        cuts = [cut for upright in (True, False) if (cut := _widest(group, upright)) is not None]
        if not cuts:
            ordered += _by_rows(group)
            continue
        widest = max(cuts, key=lambda cut: cut.gap)
        pending += [widest.rest, widest.first]
    return ordered


def _widest(lines: Sequence[Line], upright: bool) -> Cut | None:
    """The widest gap that a straight line fits in: with `upright` between upper and lower, else left and right."""
    spans = sorted(((*_span(line, upright), line) for line in lines), key=lambda span: span[:2])
    gap, at, reach = 0.0, 0, float("inf")
    for place, (start, end, _) in enumerate(spans):
        if start - reach > gap:
            gap, at = start - reach, place
        reach = end if place == 0 else max(reach, end)
    ordered = [line for _, _, line in spans]
    return Cut(gap, ordered[:at], ordered[at:]) if at else None


def _span(line: Line, upright: bool) -> tuple[float, float]:
    start, end = (line.top, line.bottom) if upright else (line.left, line.right)
    flat = line.right - line.left >= line.bottom - line.top
    trim = TRIM * (end - start) if flat == upright else 0.0
    return start + trim, end - trim


def _by_rows(lines: Sequence[Line]) -> list[Line]:
    """For boxes that reach into each other: those whose middle is at the height of a row's first belong to it."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=_middle):
        if rows and rows[-1][0].top <= _middle(line) <= rows[-1][0].bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]


def _middle(line: Line) -> float:
    return (line.top + line.bottom) / 2
