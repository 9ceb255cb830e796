"""The plots of F1 against latency and of every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.kit import plot as kit
from bench.report.kit.style import INK, MUTED, PAPER, Colour
from bench.report.kit.text import fit, milliseconds
from bench.report.measured import Timing
from bench.report.page.devices import Device
from bench.report.types import BenchReport
from distill.scoring.estimate import Estimate

F1 = Literal["micro", "macro"]
FLAG = 13.0  # height of a flag's row
FIELD = 150.0  # height of the points' part of the plot
CALLS_ROW = 40.0


@dataclass(frozen=True)
class Point:
    """A variant on a device: latency across, F1 up."""

    name: str
    colour: Colour
    marker: str
    own: bool
    x: Estimate
    y: Estimate


def points(devices: Sequence[Device], colours: Mapping[str, Colour], f1: F1) -> list[Point]:
    """One a row of a report."""
    return [
        Point(
            row.name,
            colours[row.name],
            device.marker,
            row.own,
            row.timings[0].p50,
            row.quality.micro_f1 if f1 == "micro" else row.quality.macro_f1,
        )
        for device in devices
        for row in device.report.rows
    ]


def pareto(some: Sequence[Point]) -> list[Point]:
    """Those that none is both faster than and better than, the fastest first."""
    front: list[Point] = []
    for point in sorted(some, key=lambda p: (p.x.value, -p.y.value)):
        if not front or point.y.value > front[-1].y.value:
            front.append(point)
    return front


def against_latency(devices: Sequence[Device], colours: Mapping[str, Colour], f1: F1) -> kit.Plot:
    """F1 against p50, both with their intervals, and the Pareto front of each device."""
    of_devices = [points([device], colours, f1) for device in devices]
    plot = fronted(of_devices, "p50 of a call, ms (log)", f"{f1}-F1", "ms")
    return replace(plot, alt=f"{f1}-F1 against p50 latency: {plot.alt}")


@kit.drawing()
def fronted(sets: Sequence[Sequence[Point]], x_name: str, y_name: str, units: str) -> kit.Plot:
    """F1 against a cost on a logarithmic axis, both with their intervals, and the Pareto front of each set."""
    some = sorted((point for points in sets for point in points), key=lambda p: p.x.value)
    fast, slow = min(p.x.low for p in some), max(p.x.high for p in some)
    # Flags of the left half fly above the points to the right, the others below to the left: none meets another.
    above = [p for p in some if p.x.value**2 <= fast * slow]
    below = [p for p in some if p.x.value**2 > fast * slow]
    up, down = (FLAG * len(part) + 8 for part in (above, below))
    bottom, top = min(p.y.low for p in some), max(p.y.high for p in some)
    unit = max(top - bottom, 1e-3) / FIELD
    figure = kit.canvas(20 + up + FIELD + down + 32)
    ax = kit.place(figure, 32, 20, kit.WIDTH - 40, up + FIELD + down)
    kit.log_x(ax, fast, slow)
    ax.set_ylim(bottom - down * unit, top + up * unit)
    places = MaxNLocator(5).tick_values(bottom, top)
    places = [tick for tick in places if bottom - down * unit <= tick <= top + 4 * unit]
    kit.label_axes(ax, places, x_name, y_name)
    for one in sets:
        _front(ax, pareto(one))
    for i, point in enumerate(reversed(above)):
        _flag(ax, point, (point.y.high, top + (i * FLAG + 12) * unit), "left")
    for i, point in enumerate(below):
        _flag(ax, point, (point.y.low, bottom - (i * FLAG + 12) * unit), "right")
    for point in some:
        _point(ax, point)
    alt = "; ".join(f"{p.name} {p.y.value:.3f} at {milliseconds(p.x.value)} {units}" for p in some)
    return kit.Plot(figure, alt)


def _front(ax: Axes, front: Sequence[Point]) -> None:
    """Steps from each to the next, and on to the right edge from the last: what is below them is beaten."""
    xs = [p.x.value for p in front] + [ax.get_xlim()[1]]
    ys = [p.y.value for p in front] + [front[-1].y.value]
    ax.plot(xs, ys, drawstyle="steps-post", color=MUTED.drawn, linewidth=1, alpha=0.7)


def _flag(ax: Axes, point: Point, pole: tuple[float, float], side: Literal["left", "right"]) -> None:
    """A pole from the interval's end to a row that is this point's alone, and the name there."""
    ax.plot([point.x.value] * 2, pole, color=point.colour.drawn, linewidth=0.7, alpha=0.7)
    look: dict[str, Any] = {
        "color": point.colour.drawn,
        "fontsize": kit.SMALL,
        "weight": "bold" if point.own else "normal",
    }
    spot, offset = (point.x.value, pole[1]), (4 if side == "left" else -4, 0)
    name = fit(point.name, (kit.WIDTH - 40) / 2, kit.SMALL)
    ax.annotate(name, spot, offset, textcoords="offset points", ha=side, va="center", **look)


def _point(ax: Axes, point: Point) -> None:
    colour, wide = point.colour.drawn, 2.0 if point.own else 1.3
    ax.plot([point.x.value] * 2, [point.y.low, point.y.high], color=colour, linewidth=wide)
    ax.plot([point.x.low, point.x.high], [point.y.value] * 2, color=colour, linewidth=wide)
    size = 9 if point.own else 6.5
    ax.plot(point.x.value, point.y.value, point.marker, color=colour, markersize=size, markeredgecolor=PAPER.drawn)


@kit.drawing()
def every_call(report: BenchReport, colours: Mapping[str, Colour]) -> kit.Plot:
    """A stroke for every timed call of the headline timing, the rounds from top to bottom; p50, p90 and p99."""
    raw = [ms for row in report.rows for part in row.timings[0].raw_ms for ms in part]
    figure = kit.canvas(CALLS_ROW * len(report.rows) + 34)
    ax = kit.rows_axes(figure, len(report.rows), CALLS_ROW)
    kit.log_x(ax, min(raw), max(raw))
    ax.set_xlabel("a call, ms (log)")
    for i, row in enumerate(report.rows):
        kit.head(ax, i * CALLS_ROW + 10, row.name, quantiles(row.timings[0]), colours[row.name], row.own)
        _strokes(ax, row.timings[0], i * CALLS_ROW + 14, 18.0, colours[row.name].drawn)
    alt = "; ".join(f"{row.name} {quantiles(row.timings[0])}" for row in report.rows)
    return kit.Plot(figure, f"The distribution of the calls in ms: {alt}")


def quantiles(timing: Timing) -> str:
    """p50, and of p90 and p99 those that there are calls enough for."""
    named = (("p50", timing.p50), ("p90", timing.p90), ("p99", timing.p99))
    return " · ".join(f"{name} {milliseconds(quantile.value)}" for name, quantile in named if quantile is not None)


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
