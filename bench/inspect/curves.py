"""Precision against recall, a small plot a label, and all of them in one. Knows findings, no page."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.inspect.findings import Curve
from bench.inspect.paint import GOLD, PREDICTED, place, sheet, wrapped
from bench.report.page.html import Html, plain
from bench.report.page.style import GRID, MUTED, PAPER
from bench.report.page.svg import SMALL, drawing, inline

WIDE, HIGH = 150.0, 118.0  # of a small plot, in units
LEFT, TOP, SQUARE, TALL = 24.0, 5.0, 120.0, 92.0
COLUMNS = 4
TITLE = 34.0
HALVES = (0, 0.5, 1)


def small(curve: Curve, name: str) -> Html:
    """One label's, for a page."""
    with drawing():
        figure = sheet(WIDE, HIGH)
        draw(place(figure, LEFT, TOP, SQUARE, TALL), curve)
        return inline(figure, name, told(curve))


def together(curves: Sequence[Curve]) -> Figure:
    """All in one plot, the first on top left, each under its name."""
    rows = -(-len(curves) // COLUMNS)
    with drawing():
        figure = sheet(COLUMNS * (WIDE + 8) + 8, rows * (HIGH + TITLE) + 24)
        for i, curve in enumerate(curves):
            left, top = 8 + (i % COLUMNS) * (WIDE + 8), 4 + (i // COLUMNS) * (HIGH + TITLE)
            ax = place(figure, left + LEFT, top + TITLE + TOP, SQUARE, TALL)
            draw(ax, curve)
            title = wrapped(curve.name, WIDE - 30, SMALL, 2)
            ax.annotate(title, (0, 1), (0, 18), xycoords="axes fraction", textcoords="offset points", va="bottom")
            ax.annotate(
                numbers(curve),
                (0, 1),
                (0, 7),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=SMALL,
                color=MUTED.drawn,
            )
        said = (
            "Precision (up) against recall (across). Dot: the model's threshold. Ring: the cross-fitted decisions."
        )
        figure.text(0.01, 8 / (figure.get_figheight() * 72), said, fontsize=SMALL, color=MUTED.drawn)
    return figure


def draw(ax: Axes, curve: Curve) -> None:
    """Steps, whose area is the average precision; the share of positives, which is a guess's precision, dashed."""
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(HALVES))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(axis="both")
    if not curve.recall:
        ax.text(0.5, 0.5, "no example has it", ha="center", va="center", fontsize=SMALL, color=MUTED.drawn)
        return
    base = curve.precision[-1]  # everything is decided there
    recall, precision = (0.0, *curve.recall), (curve.precision[0], *curve.precision)
    ax.plot([0, 1], [base, base], color=MUTED.drawn, linewidth=1, dashes=(3, 3))
    ax.fill_between(recall, precision, step="pre", color=GOLD.drawn, alpha=0.12, linewidth=0)
    ax.plot(recall, precision, color=GOLD.drawn, linewidth=1.5, drawstyle="steps-pre")
    for point, face, size in ((curve.at, PREDICTED.drawn, 6.0), (curve.honest, "none", 9.0)):
        if point is not None:
            edge = PAPER.drawn if face != "none" else PREDICTED.drawn
            (mark,) = ax.plot(point.recall, point.precision, "o", markersize=size, zorder=5, clip_on=False)
            mark.set(markerfacecolor=face, markeredgecolor=edge, markeredgewidth=1.3)
    ax.spines["bottom"].set_color(GRID.drawn)


def numbers(curve: Curve) -> str:
    """A label's figures, short."""
    ap = "no AP" if curve.average_precision is None else f"AP {curve.average_precision:.2f}"
    return f"{ap}, n = {curve.support}"


def told(curve: Curve) -> str:
    """For those who do not see it."""
    name, cut = plain(curve.name), f"threshold {curve.threshold:.3f}"
    if not curve.recall:
        return f"{name}: no example of this split has the label, so there is no curve; {cut}"
    if curve.at is None:
        return f"{name}: precision against recall, {numbers(curve)}; at its {cut} nothing is decided for it"
    at = f"precision {curve.at.precision:.2f} and recall {curve.at.recall:.2f}"
    return f"{name}: precision against recall, {numbers(curve)}; {cut} gives {at}"
