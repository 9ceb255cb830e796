"""Precision against recall, a small plot a label, and all of them in one."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from bench.inspect.colours import GOLD, PREDICTED
from bench.inspect.findings import Curve
from bench.report.kit import plot as kit
from bench.report.kit.style import GRID, MUTED
from bench.report.kit.text import wrapped

WIDE, HIGH = 150.0, 118.0  # of a small plot, in units
LEFT, TOP, SQUARE, TALL = 24.0, 5.0, 120.0, 92.0
COLUMNS = 4
TITLE = 34.0


@kit.drawing()
def small(curve: Curve) -> kit.Plot:
    """One label's, for a page."""
    figure = kit.canvas(HIGH, WIDE)
    _draw(kit.place(figure, LEFT, TOP, SQUARE, TALL), curve)
    return kit.Plot(figure, _alt(curve))


@kit.drawing()
def together(curves: Sequence[Curve]) -> kit.Plot:
    """All in one plot, the first on top left, each under its name."""
    figure = kit.canvas(-(-len(curves) // COLUMNS) * (HIGH + TITLE) + 24, COLUMNS * (WIDE + 8) + 8)
    for i, curve in enumerate(curves):
        left, top = 8 + (i % COLUMNS) * (WIDE + 8), 4 + (i // COLUMNS) * (HIGH + TITLE)
        ax = kit.place(figure, left + LEFT, top + TITLE + TOP, SQUARE, TALL)
        _draw(ax, curve)
        kit.beside(ax, wrapped(curve.name, WIDE - 30, kit.SMALL, 2), (0, 1), (0, 18), va="bottom")
        kit.beside(ax, numbers(curve), (0, 1), (0, 7), fontsize=kit.SMALL, color=MUTED.drawn)
    key = "Precision (up) against recall (across). Dot: the model's threshold. Ring: the cross-fitted decisions."
    figure.text(0.01, 8 / (figure.get_figheight() * 72), key, fontsize=kit.SMALL, color=MUTED.drawn)
    return kit.Plot(figure, "; ".join(map(_alt, curves)))


def _draw(ax: Axes, curve: Curve) -> None:
    """Steps, whose area is the average precision; the share of positives, which is a guess's precision, dashed."""
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    for axis in (ax.xaxis, ax.yaxis):
        kit.ticks(axis, (0, 0.5, 1))
    ax.grid(axis="both")
    if not curve.recall:
        ax.text(0.5, 0.5, "no example has it", ha="center", va="center", fontsize=kit.SMALL, color=MUTED.drawn)
        return
    base = curve.precision[-1]  # everything is decided there
    recall, precision = (0.0, *curve.recall), (curve.precision[0], *curve.precision)
    ax.plot([0, 1], [base, base], color=MUTED.drawn, linewidth=1, dashes=(3, 3))
    ax.fill_between(recall, precision, step="pre", color=GOLD.drawn, alpha=0.12, linewidth=0)
    ax.plot(recall, precision, color=GOLD.drawn, linewidth=1.5, drawstyle="steps-pre")
    for point, face, size in ((curve.at, "", 6.0), (curve.honest, "none", 9.0)):
        if point is not None:
            kit.dot(ax, point.recall, point.precision, size, PREDICTED, face)
    ax.spines["bottom"].set_color(GRID.drawn)


def numbers(curve: Curve) -> str:
    """A label's figures, short."""
    ap = "no AP" if curve.average_precision is None else f"AP {curve.average_precision:.2f}"
    return f"{ap}, n = {curve.support}"


def _alt(curve: Curve) -> str:
    cut = "decision" if curve.threshold is None else f"threshold {curve.threshold:.3f}"
    if not curve.recall:
        return f"{curve.name}: no example of this split has the label, so there is no curve; {cut}"
    lead = f"{curve.name}: precision against recall, {numbers(curve)}"
    if curve.at is None:
        return f"{lead}; at its {cut} nothing is decided for it"
    return f"{lead}; {cut} gives precision {curve.at.precision:.2f} and recall {curve.at.recall:.2f}"
