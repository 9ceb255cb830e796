"""The reliability diagram (Niculescu-Mizil and Caruana 2005), which both pages show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bench.report.kit import plot as kit
from bench.report.kit.style import MUTED, PAPER, Colour
from bench.report.kit.text import fit
from bench.report.types import Bin

LINE = 14.0  # height of a line of the key
SQUARE, GAP, COUNTS = 230.0, 30.0, 44.0  # heights of the diagram, of what is below it, and of the bars
FEW = 30  # pairs; a bin with fewer is drawn small


@dataclass(frozen=True)
class Series:
    """One model's bins under its name."""

    name: str
    colour: Colour
    bins: tuple[Bin, ...]


def names(ax: Axes, named: Sequence[tuple[str, Colour]], base: float = 8) -> None:
    """The key above the axes, a line each: the first behind a dot, the others behind a ring."""
    for i, (name, colour) in enumerate(named):
        y = (len(named) - 1 - i) * LINE + base
        for x, text in ((0, "○" if i else "●"), (14, fit(name, kit.WIDTH - 60, kit.SIZE))):
            kit.beside(ax, text, (0, 1), (x, y), color=colour.drawn, va="center", weight="normal" if i else "bold")


@kit.drawing()
def reliability(series: Sequence[Series]) -> kit.Plot:
    """How often labels are right by how probable they were said to be, and below it how many pairs that is, of the
    first series."""
    above = LINE * len(series) + 28
    figure = kit.canvas(above + SQUARE + GAP + COUNTS + 32)
    ax = kit.place(figure, 32, above, kit.WIDTH - 40, SQUARE)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.tick_params(labelbottom=False)
    kit.label_axes(ax, kit.QUARTERS, "", "frequency of the label")
    ax.plot([0, 1], [0, 1], color=MUTED.drawn, linewidth=1, dashes=(4, 3))
    for i, one in reversed(list(enumerate(series))):
        _curve(ax, one, ring=i > 0)
    names(ax, [(one.name, one.colour) for one in series], base=28)
    _counts(kit.place(figure, 32, above + SQUARE + GAP, kit.WIDTH - 40, COUNTS), series[0])
    alt = "; ".join(one.name for one in series)
    return kit.Plot(figure, f"Reliability, the frequency of labels by their mean probability: {alt}")


def _curve(ax: Axes, series: Series, ring: bool) -> None:
    """Bins with few pairs are small: chance moves them."""
    some = [part for part in series.bins if part.count]
    xs, ys = [part.mean_probability for part in some], [part.frequency for part in some]
    ax.plot(xs, ys, color=series.colour.drawn, linewidth=1.2 if ring else 2)
    for part, x, y in zip(some, xs, ys, strict=True):
        kit.dot(
            ax, x, y, (7 if ring else 6) if part.count >= FEW else 3.5, series.colour, PAPER.drawn if ring else ""
        )


def _counts(ax: Axes, series: Series) -> None:
    some = [part for part in series.bins if part.count]
    most = max((part.count for part in some), default=1)
    ax.set_xlim(0, 1)
    ax.set_yscale("log")
    ax.set_ylim(0.7, most * 1.3)
    decades = [10.0**e for e in range(12) if 10.0**e <= most]
    kit.label_axes(
        ax, decades, "mean probability", f"pairs in a bin (log), {fit(series.name, kit.WIDTH - 160, kit.SMALL)}"
    )
    kit.ticks(ax.xaxis, kit.QUARTERS)
    for part in some:
        ax.bar((part.low + part.high) / 2, part.count, (part.high - part.low) * 0.9, color=series.colour.drawn)
