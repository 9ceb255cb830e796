"""The plots of p50 by threads and of throughput by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bench.report.kit import plot as kit
from bench.report.kit.style import Colour
from bench.report.kit.text import fit
from bench.report.measured import Timing
from bench.report.types import BenchReport, Row
from distill.scoring.estimate import Estimate

NAMES = 138.0  # width of the names beside curves


@dataclass(frozen=True)
class Curve:
    """A variant's figures by how many threads or by how large a batch."""

    row: Row
    xs: tuple[int, ...]
    ys: tuple[Estimate, ...]


def by_threads(report: BenchReport) -> list[Curve]:
    """p50 in ms at the headline's batch, of the variants that ran with several numbers of threads."""
    return _curves(report, lambda t: t.batch, lambda t: t.threads, lambda t: t.p50)


def by_batch(report: BenchReport) -> list[Curve]:
    """Examples a second at the headline's threads, of the variants that ran with several sizes of batch."""
    return _curves(report, lambda t: t.threads, lambda t: t.batch, lambda t: t.throughput)


def _curves(
    report: BenchReport, fixed: Callable[[Timing], int], x: Callable[[Timing], int], y: Callable[[Timing], Estimate]
) -> list[Curve]:
    """Of the timings whose `fixed` is the headline's."""
    curves = []
    for row in report.rows:
        some = sorted((t for t in row.timings if fixed(t) == fixed(row.timings[0])), key=x)
        curves.append(Curve(row, tuple(map(x, some)), tuple(map(y, some))))
    return [curve for curve in curves if len(set(curve.xs)) > 1]


@kit.drawing()
def curves(some: Sequence[Curve], colours: Mapping[str, Colour], across: str, up: str) -> kit.Plot:
    """One line a variant, its name at its right end; both axes logarithmic."""
    height = max(146.0, 13.0 * len(some) + 6)
    figure = kit.canvas(height + 54)
    ax = kit.place(figure, 32, 22, kit.WIDTH - 32 - NAMES, height)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ys = [y for curve in some for estimate in curve.ys for y in (estimate.low, estimate.high)]
    ax.set_ylim(min(ys) / 1.1, max(ys) * 1.1)
    kit.label_axes(ax, kit.log_ticks(min(ys) / 1.1, max(ys) * 1.1), across, up)
    kit.ticks(ax.xaxis, sorted({x for curve in some for x in curve.xs}))
    for curve in some:
        colour, wide = colours[curve.row.name].drawn, 2.2 if curve.row.own else 1.2
        ax.plot(curve.xs, [y.value for y in curve.ys], "o-", color=colour, linewidth=wide, markersize=4)
        ax.vlines(curve.xs, [y.low for y in curve.ys], [y.high for y in curve.ys], color=colour, linewidth=wide)
    _names(ax, some, colours, height)
    alt = "; ".join(
        f"{c.row.name} {', '.join(f'{y.value:.4g} at {x}' for x, y in zip(c.xs, c.ys, strict=True))}" for c in some
    )
    return kit.Plot(figure, f"{up} by {across}: {alt}")


def _names(ax: Axes, some: Sequence[Curve], colours: Mapping[str, Colour], height: float) -> None:
    """At the curves' right ends, moved apart, a thin line leading to each."""
    inside = ax.transAxes.inverted()
    ends = [float(inside.transform(ax.transData.transform((c.xs[-1], c.ys[-1].value)))[1]) for c in some]
    for curve, end, y in zip(some, ends, kit.apart([end * height for end in ends], 12, height), strict=True):
        look = {"color": colours[curve.row.name].drawn, "fontsize": kit.SMALL, "va": "center"}
        line = {"arrowstyle": "-", "relpos": (0, 0.5), "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        look |= {"weight": "bold" if curve.row.own else "normal", "arrowprops": line | {"color": look["color"]}}
        kit.beside(ax, fit(curve.row.name, NAMES - 14, kit.SMALL), (1, end), (14, y - end * height), **look)
