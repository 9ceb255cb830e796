"""Pictures of F1 against latency, of every call, and of threads and batches. Knows reports, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.devices import Device
from bench.figures import BenchReport, Estimate, Row, Timing
from bench.html import Html
from bench.palette import INK, MUTED, PAPER, Colour
from bench.svg import SIZE, SMALL, WIDTH, axes, canvas, drawing, fit, head, inline, log_x, rows_axes
from bench.words import milliseconds

F1 = Literal["micro", "macro"]
FLAG = 13.0  # height of a flag's row
FIELD = 150.0  # height of the points' part of the picture


@dataclass(frozen=True)
class Point:
    """A variant on a device: latency across, F1 up."""

    name: str
    colour: Colour
    marker: str
    own: bool
    x: Estimate
    y: Estimate


def points(found: Sequence[Device], colours: Mapping[str, Colour], f1: F1) -> list[Point]:
    """One a row of a report."""
    return [
        Point(row.name, colours[row.name], device.marker, row.own, row.timings[0].p50, f1_of(row, f1))
        for device in found
        for row in device.report.rows
    ]


def f1_of(row: Row, f1: F1) -> Estimate:
    """Micro- or macro-F1 with its interval."""
    q = row.quality
    value, interval = (q.micro_f1, q.micro_f1_interval) if f1 == "micro" else (q.macro_f1, q.macro_f1_interval)
    return Estimate(value, interval.low, interval.high)


def pareto(some: Sequence[Point]) -> list[Point]:
    """Those that none is both faster than and better than, the fastest first."""
    front: list[Point] = []
    for point in sorted(some, key=lambda p: (p.x.value, -p.y.value)):
        if not front or point.y.value > front[-1].y.value:
            front.append(point)
    return front


def against_latency(found: Sequence[Device], colours: Mapping[str, Colour], f1: F1, name: str) -> Html:
    """F1 against p50, both with their intervals, and the Pareto front of each device."""
    some = sorted(points(found, colours, f1), key=lambda p: p.x.value)
    low, high = min(p.x.low for p in some), max(p.x.high for p in some)
    middle = (low * high) ** 0.5
    # Flags of the left half fly above the points to the right, the others below to the left: they never cross.
    above, below = [p for p in some if p.x.value <= middle], [p for p in some if p.x.value > middle]
    with drawing():
        up, down = FLAG * len(above) + 6, FLAG * len(below) + 6
        figure = canvas(16 + up + FIELD + down + 32)
        ax = axes(figure, 30, 16, 8, 32)
        log_x(ax, low, high)
        bottom, top = min(p.y.low for p in some), max(p.y.high for p in some)
        unit = max(top - bottom, 1e-3) / FIELD
        ax.set_ylim(bottom - down * unit, top + up * unit)
        ticks = [float(t) for t in MaxNLocator(5).tick_values(bottom, top) if bottom - down * unit <= t <= 1]
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.grid(axis="y")
        ax.set_xlabel("p50 of a call, ms (log)")
        ax.text(-26, 1, f"{f1}-F1", transform=_beside(ax), color=MUTED.drawn, fontsize=SMALL, va="bottom")
        for device in found:
            _front(ax, pareto(points([device], colours, f1)))
        for i, point in enumerate(reversed(above)):
            _flag(ax, point, top + (i * FLAG + 12) * unit, point.y.high, right=True)
        for i, point in enumerate(below):
            _flag(ax, point, bottom - (i * FLAG + 12) * unit, point.y.low, right=False)
        for point in some:
            _point(ax, point)
        says = f"{f1}-F1 against p50 latency: " + "; ".join(
            f"{p.name} {p.y.value:.3f} at {milliseconds(p.x.value)} ms" for p in some
        )
        return inline(figure, name, says)


def _beside(ax: Axes):  # type: ignore[no-untyped-def]
    raise NotImplementedError
