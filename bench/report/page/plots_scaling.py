"""Plots of p50 by threads and of throughput by batch. Knows reports, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report.page.html import Html
from bench.report.page.style import Colour
from bench.report.page.svg import SMALL, apart, axes, canvas, drawing, fit, inline, label_axes, log_ticks
from bench.report.page.words import throughput
from bench.report.types import BenchReport, Row
from distill.scoring.estimate import Estimate


@dataclass(frozen=True)
class Curve:
    """A variant's figures by how many threads or by how large a batch."""

    row: Row
    xs: tuple[int, ...]
    ys: tuple[Estimate, ...]


def by_threads(report: BenchReport) -> list[Curve]:
    """p50 in ms at the headline's batch, of the variants that ran with several numbers of threads."""
    found = []
    for row in report.rows:
        some = sorted((t for t in row.timings if t.batch == row.timings[0].batch), key=lambda t: t.threads)
        found.append(Curve(row, tuple(t.threads for t in some), tuple(t.p50 for t in some)))
    return [curve for curve in found if len(set(curve.xs)) > 1]


def by_batch(report: BenchReport) -> list[Curve]:
    """Examples a second at the headline's threads, of the variants that ran with several sizes of batch."""
    found = []
    for row in report.rows:
        some = sorted((t for t in row.timings if t.threads == row.timings[0].threads), key=lambda t: t.batch)
        found.append(Curve(row, tuple(t.batch for t in some), tuple(throughput(t) for t in some)))
    return [curve for curve in found if len(set(curve.xs)) > 1]


NAMES = 138.0  # width of the names beside curves


def curves(some: Sequence[Curve], colours: Mapping[str, Colour], across: str, up: str, name: str) -> Html:
    """One line a variant, its name at its right end; both axes logarithmic."""
    with drawing():
        figure = canvas(max(200.0, 13.0 * len(some) + 60))
        ax = axes(figure, 32, 22, NAMES, 32)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ys = [y for curve in some for estimate in curve.ys for y in (estimate.low, estimate.high)]
        ax.set_ylim(min(ys) / 1.1, max(ys) * 1.1)
        label_axes(ax, log_ticks(min(ys) / 1.1, max(ys) * 1.1), across, up)
        ax.xaxis.set_major_locator(FixedLocator(sorted({float(x) for curve in some for x in curve.xs})))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        for curve in some:
            colour, wide = colours[curve.row.name].drawn, 2.2 if curve.row.own else 1.2
            ax.plot(curve.xs, [y.value for y in curve.ys], "o-", color=colour, linewidth=wide, markersize=4)
            ax.vlines(curve.xs, [y.low for y in curve.ys], [y.high for y in curve.ys], color=colour, linewidth=wide)
        _names(ax, some, colours)
        told = "; ".join(
            f"{curve.row.name} "
            + ", ".join(f"{y.value:.4g} at {x}" for x, y in zip(curve.xs, curve.ys, strict=True))
            for curve in some
        )
        return inline(figure, name, f"{up} by {across}: {told}")


def _names(ax: Axes, some: Sequence[Curve], colours: Mapping[str, Colour]) -> None:
    """At the curves' right ends, moved apart, a thin line leading to each."""
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    ends = [
        float(ax.transAxes.inverted().transform(ax.transData.transform((c.xs[-1], c.ys[-1].value)))[1])
        for c in some
    ]
    for curve, end, place in zip(some, ends, apart([end * height for end in ends], 12, height), strict=True):
        colour = colours[curve.row.name].drawn
        ax.annotate(
            fit(curve.row.name, NAMES - 14, SMALL),
            (1, end),
            (14, place - end * height),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=SMALL,
            weight="bold" if curve.row.own else "normal",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
