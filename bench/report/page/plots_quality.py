"""Plots of F1 by label and of how far probabilities can be trusted. Knows rows of reports, no page."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.report.page.html import Html
from bench.report.page.style import GRID, MUTED, PAPER, Colour
from bench.report.page.svg import SIZE, SMALL, WIDTH, axes, canvas, drawing, fit, inline, label_axes, rows_axes
from bench.report.types import Row

LABEL_ROW = 25.0
LINE = 14.0  # height of a line of a plot's key
SQUARE = 230.0  # height of the reliability diagram
GAP = 30.0
COUNTS = 44.0  # height of the bars below it
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
FEW = 30  # pairs; a bin with fewer is drawn small


def by_label(rows: Sequence[Row], colours: Sequence[Colour], name: str) -> Html:
    """F1 of each label, the most frequent first: a dot for the first of the rows, a ring for the second."""
    first = rows[0].quality.labels
    order = sorted(range(len(first)), key=lambda i: -first[i].support)
    with drawing():
        above = LINE * len(rows) + 6
        figure = canvas(above + LABEL_ROW * len(order) + 34)
        ax = rows_axes(figure, len(order), LABEL_ROW, above)
        ax.set_xlim(-0.01, 1.01)
        ax.xaxis.set_major_locator(FixedLocator(QUARTERS))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_xlabel("F1", fontsize=SMALL)
        _key(ax, [row.name for row in rows], colours)
        for place, i in enumerate(order):
            label = first[i]
            _line(ax, place * LABEL_ROW, label.name, f"n = {label.support}")
            _dots(ax, place * LABEL_ROW + 18, [row.quality.labels[i].f1 for row in rows], colours)
        told = "; ".join(
            f"{first[i].name} ({first[i].support}) "
            + " and ".join(f"{row.quality.labels[i].f1:.2f}" for row in rows)
            for i in order
        )
        return inline(figure, name, f"F1 by label, {' and '.join(row.name for row in rows)}: {told}")


def _line(ax: Axes, y: float, name: str, support: str) -> None:
    across = ax.get_yaxis_transform()
    ax.text(0, y + 9, fit(name, WIDTH - 70, SMALL), transform=across, fontsize=SMALL, va="baseline")
    ax.text(1, y + 9, support, transform=across, fontsize=SMALL, ha="right", va="baseline", color=MUTED.drawn)


def _dots(ax: Axes, y: float, f1s: Sequence[float], colours: Sequence[Colour]) -> None:
    ax.plot([0, 1], [y, y], color=GRID.drawn, linewidth=1)
    ax.plot([min(f1s), max(f1s)], [y, y], color=MUTED.drawn, linewidth=2)
    # The ring last and wider: where both agree, it encircles the dot.
    for i, (f1, colour) in enumerate(zip(f1s, colours, strict=True)):
        _mark(ax, f1, y, colour, ring=i > 0)


def _mark(ax: Axes, x: float, y: float, colour: Colour, ring: bool) -> None:
    face = "none" if ring else colour.drawn
    ax.plot(
        x,
        y,
        "o",
        markersize=8 if ring else 5.5,
        color=face,
        markeredgecolor=colour.drawn,
        markeredgewidth=1.3,
        clip_on=False,
    )


def _key(ax: Axes, names: Sequence[str], colours: Sequence[Colour], base: float = 8) -> None:
    """The variants' names above the axes, each behind its mark."""
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        y = (len(names) - 1 - i) * LINE + base
        for x, text in ((0, "○" if i else "●"), (14, fit(name, WIDTH - 60, SIZE))):
            ax.annotate(
                text,
                (0, 1),
                (x, y),
                xycoords="axes fraction",
                textcoords="offset points",
                color=colour.drawn,
                va="center",
                weight="normal" if i else "bold",
            )


def reliability(rows: Sequence[Row], colours: Sequence[Colour], name: str) -> Html:
    """How often labels are right by how probable they were said to be, and below it how many pairs that is."""
    with drawing():
        above = LINE * len(rows) + 28
        figure = canvas(above + SQUARE + GAP + COUNTS + 32)
        ax = axes(figure, 32, above, 8, GAP + COUNTS + 32)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.tick_params(labelbottom=False)
        label_axes(ax, QUARTERS, "", "frequency of the label")
        ax.plot([0, 1], [0, 1], color=MUTED.drawn, linewidth=1, dashes=(4, 3))
        for i, (row, colour) in reversed(list(enumerate(zip(rows, colours, strict=True)))):
            _curve(ax, row, colour, ring=i > 0)
        _key(ax, [f"{row.name}, ECE {row.quality.ece:.3f}" for row in rows], colours, base=28)
        _counts(axes(figure, 32, above + SQUARE + GAP, 8, 32), rows[0], colours[0])
        told = "; ".join(f"{row.name} ECE {row.quality.ece:.3f}" for row in rows)
        return inline(figure, name, f"Reliability, the frequency of labels by their mean probability: {told}")


def _curve(ax: Axes, row: Row, colour: Colour, ring: bool) -> None:
    """Bins with few pairs are small: chance moves them."""
    some = [part for part in row.reliability if part.count]
    xs, ys = [part.mean_probability for part in some], [part.frequency for part in some]
    ax.plot(xs, ys, color=colour.drawn, linewidth=1.2 if ring else 2)
    for part, x, y in zip(some, xs, ys, strict=True):
        ax.plot(
            x,
            y,
            "o",
            markersize=(7 if ring else 6) if part.count >= FEW else 3.5,
            color=PAPER.drawn if ring else colour.drawn,
            markeredgecolor=colour.drawn,
            clip_on=False,
        )


def _counts(ax: Axes, row: Row, colour: Colour) -> None:
    some = [part for part in row.reliability if part.count]
    most = max((part.count for part in some), default=1)
    ax.set_xlim(0, 1)
    ax.set_yscale("log")
    ax.set_ylim(0.7, most * 1.3)
    ticks = [10.0**e for e in range(12) if 10.0**e <= most]
    label_axes(ax, ticks, "mean probability", f"pairs in a bin (log), {fit(row.name, WIDTH - 160, SMALL)}")
    ax.xaxis.set_major_locator(FixedLocator(QUARTERS))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for part in some:
        ax.bar((part.low + part.high) / 2, part.count, (part.high - part.low) * 0.9, color=colour.drawn)
