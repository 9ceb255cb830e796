"""A plot of a retraining: two runs, and two sets of examples. Knows figures and matplotlib, no display."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.core.files import write_bytes
from teacher.retrain.drift import Looked
from teacher.retrain.promotion import Promotion

CALM, DRIFT, LINE = "#1f5fa8", "#d1602b", "#8a8a8a"
SHOWN = 40  # rates, those that changed most
LETTERS = 34  # of a label's name
WORDS = {"micro": "micro-F1", "macro": "macro-F1", "balanced": "mean of both", "micro_ap": "micro-AP"}
DPI = 130


def write(promotion: Promotion, looked: Looked | None, path: Path) -> None:
    """One PNG."""
    content = io.BytesIO()
    draw(promotion, looked).savefig(content, format="png", dpi=DPI)
    write_bytes(path, content.getvalue())


def draw(promotion: Promotion, looked: Looked | None) -> Figure:
    """Differences in F1 alone, or with the changes of rates and the distances of distributions beside them."""
    if looked is None:
        figure = Figure(figsize=(6, 3), layout="constrained")
        _gains(figure.subplots(), promotion)
        return figure
    rows = min(SHOWN, len(looked.drift.rates))
    figure = Figure(figsize=(12, max(5.0, 1.5 + 0.24 * rows)), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic([["rates", "gains"], ["rates", "shifts"]], width_ratios=[1.3, 1])
    _rates(axes["rates"], looked)
    _gains(axes["gains"], promotion)
    _shifts(axes["shifts"], looked)
    return figure


def _gains(ax: Axes, promotion: Promotion) -> None:
    for y, (name, gain) in enumerate(promotion.gain.items()):
        decisive = name == promotion.objective
        low, high = gain.value - gain.low, gain.high - gain.value
        colour, size = (CALM, 8) if decisive else (LINE, 5)
        ax.errorbar(gain.value, y, xerr=[[low], [high]], fmt="o", color=colour, markersize=size, capsize=3)
    ax.set_yticks(range(len(promotion.gain)), [WORDS[name] for name in promotion.gain])
    ax.axvline(0, color=LINE, linewidth=0.8)
    ax.axvline(-promotion.max_f1_drop, color=DRIFT, linestyle="--", label="what may be lost")
    ax.invert_yaxis()
    ax.set(xlabel=f"new - old on {promotion.examples} test examples", title=f"{promotion.word}: {promotion.reason}")
    ax.legend(fontsize="small")


def _rates(ax: Axes, looked: Looked) -> None:
    rates = sorted(looked.drift.rates, key=lambda rate: -abs(rate.change))[:SHOWN]
    for y, rate in enumerate(rates):
        ends = [[100 * (rate.change - rate.low)], [100 * (rate.high - rate.change)]]
        colour = DRIFT if rate.drifted else CALM
        ax.errorbar(100 * rate.change, y, xerr=ends, fmt="o", color=colour, markersize=4, capsize=2)
    ax.set_yticks(range(len(rates)), [_short(rate.name) for rate in rates], parse_math=False, fontsize="small")
    ax.axvline(0, color=LINE, linewidth=0.8)
    ax.invert_yaxis()
    title = f"Rates: {looked.fresh} new examples, {looked.reference} of the reference"
    ax.set(xlabel="change in points of percent, intervals for all of them together", title=title)


def _shifts(ax: Axes, looked: Looked) -> None:
    """In units of what chance stays below; 0 where all values are the same."""
    for y, shift in enumerate(looked.drift.shifts):
        distance = shift.value / shift.chance if shift.chance > 0 else 0.0
        ax.barh(y, distance, color=DRIFT if shift.drifted else CALM)
    ax.set_yticks(range(len(looked.drift.shifts)), [shift.name for shift in looked.drift.shifts])
    ax.axvline(1, color=DRIFT, linestyle="--")
    ax.invert_yaxis()
    ax.set(xlabel="distance; chance stays left of the line", title="Distributions")


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
