"""Plots of F1 against latency and of every call. Knows reports, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.page.cast import Device
from bench.report.page.html import Html
from bench.report.page.style import INK, MUTED, PAPER, Colour
from bench.report.page.svg import (
    SMALL,
    WIDTH,
    axes,
    canvas,
    drawing,
    fit,
    head,
    inline,
    label_axes,
    log_x,
    rows_axes,
)
from bench.report.page.words import milliseconds
from bench.report.types import BenchReport, Row, Timing
from distill.scoring.estimate import Estimate

F1 = Literal["micro", "macro"]
FLAG = 13.0  # height of a flag's row
FIELD = 150.0  # height of the points' part of the plot


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
    return row.quality.micro_f1 if f1 == "micro" else row.quality.macro_f1


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
    fast, slow = min(p.x.low for p in some), max(p.x.high for p in some)
    # Flags of the left half fly above the points to the right, the others below to the left: none meets another.
    above = [p for p in some if p.x.value**2 <= fast * slow]
    below = [p for p in some if p.x.value**2 > fast * slow]
    up, down = (FLAG * len(part) + 8 for part in (above, below))
    bottom, top = min(p.y.low for p in some), max(p.y.high for p in some)
    unit = max(top - bottom, 1e-3) / FIELD
    with drawing():
        figure = canvas(20 + up + FIELD + down + 32)
        ax = axes(figure, 32, 20, 8, 32)
        log_x(ax, fast, slow)
        ax.set_ylim(bottom - down * unit, top + up * unit)
        ticks = [t for t in MaxNLocator(5).tick_values(bottom, top) if bottom - down * unit <= t <= top + 4 * unit]
        label_axes(ax, ticks, "p50 of a call, ms (log)", f"{f1}-F1")
        for device in found:
            _front(ax, pareto(points([device], colours, f1)))
        for i, point in enumerate(reversed(above)):
            _flag(ax, point, (point.y.high, top + (i * FLAG + 12) * unit), "left")
        for i, point in enumerate(below):
            _flag(ax, point, (point.y.low, bottom - (i * FLAG + 12) * unit), "right")
        for point in some:
            _point(ax, point)
        told = "; ".join(f"{p.name} {p.y.value:.3f} at {milliseconds(p.x.value)} ms" for p in some)
        return inline(figure, name, f"{f1}-F1 against p50 latency: {told}")


def _front(ax: Axes, front: Sequence[Point]) -> None:
    """Steps from each to the next, and on to the right edge from the last: what is below them is beaten."""
    xs = [p.x.value for p in front] + [ax.get_xlim()[1]]
    ys = [p.y.value for p in front] + [front[-1].y.value]
    ax.plot(xs, ys, drawstyle="steps-post", color=MUTED.drawn, linewidth=1, alpha=0.7)


def _flag(ax: Axes, point: Point, pole: tuple[float, float], side: Literal["left", "right"]) -> None:
    """A pole from the interval's end to a row that is this point's alone, and the name there."""
    ax.plot([point.x.value] * 2, pole, color=point.colour.drawn, linewidth=0.7, alpha=0.7)
    text = fit(point.name, (WIDTH - 40) / 2, SMALL)
    ax.annotate(
        text,
        (point.x.value, pole[1]),
        (4 if side == "left" else -4, 0),
        textcoords="offset points",
        ha=side,
        va="center",
        color=point.colour.drawn,
        fontsize=SMALL,
        weight="bold" if point.own else "normal",
    )


def _point(ax: Axes, point: Point) -> None:
    colour, wide = point.colour.drawn, 2.0 if point.own else 1.3
    ax.plot([point.x.value] * 2, [point.y.low, point.y.high], color=colour, linewidth=wide)
    ax.plot([point.x.low, point.x.high], [point.y.value] * 2, color=colour, linewidth=wide)
    size = 9 if point.own else 6.5
    ax.plot(point.x.value, point.y.value, point.marker, color=colour, markersize=size, markeredgecolor=PAPER.drawn)


CALLS_ROW = 40.0


def every_call(report: BenchReport, colours: Mapping[str, Colour], name: str) -> Html:
    """A stroke for every timed call of the headline timing, the rounds from top to bottom; p50, p90 and p99."""
    timings = [row.timings[0] for row in report.rows]
    raw = [ms for timing in timings for part in timing.raw_ms for ms in part]
    with drawing():
        figure = canvas(CALLS_ROW * len(timings) + 34)
        ax = rows_axes(figure, len(timings), CALLS_ROW)
        log_x(ax, min(raw), max(raw))
        ax.set_xlabel("a call, ms (log)", fontsize=SMALL)
        for i, (row, timing) in enumerate(zip(report.rows, timings, strict=True)):
            colour = colours[row.name].drawn
            head(ax, i * CALLS_ROW + 10, row.name, quantiles(timing), colour, row.own)
            _strokes(ax, timing, i * CALLS_ROW + 14, 18.0, colour)
        told = "; ".join(f"{row.name} {quantiles(row.timings[0])}" for row in report.rows)
        return inline(figure, name, f"The distribution of the calls in ms: {told}")


def quantiles(timing: Timing) -> str:
    """p50, and of p90 and p99 those that there are calls enough for."""
    known = (("p50", timing.p50), ("p90", timing.p90), ("p99", timing.p99))
    return " · ".join(f"{q} {milliseconds(found.value)}" for q, found in known if found is not None)


def _strokes(ax: Axes, timing: Timing, top: float, height: float, colour: str) -> None:
    """One path for all calls keeps the page small."""
    step = height / len(timing.raw_ms)
    xs = [x for part in timing.raw_ms for ms in part for x in (ms, ms, float("nan"))]
    starts = (top + i * step for i, part in enumerate(timing.raw_ms) for _ in part)
    ys = [y for start in starts for y in (start, start + step, float("nan"))]
    ax.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.55)
    for estimate, wide in ((timing.p50, 2.2), (timing.p90, 1.2), (timing.p99, 1.2)):
        if estimate is not None:
            ax.plot([estimate.value] * 2, [top - 1, top + height + 2], color=INK.drawn, linewidth=wide)
