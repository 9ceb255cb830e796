"""The plot of a retraining: differences in F1, changes of label rates, and distances of distributions."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacher.plots import BLUE, GREY, ORANGE, write_png
from teacher.retrain.drift import NewExamplesReport
from teacher.retrain.promotion import Promotion

SHOWN = 40  # rates, those that changed most
MAX_NAME = 34  # characters of a label's name
METRICS = {"micro": "micro-F1", "macro": "macro-F1", "balanced": "mean of both", "micro_ap": "micro-AP"}


def write_retrain_plot(promotion: Promotion, new_examples: NewExamplesReport | None, path: Path) -> None:
    """Write one PNG. Raises OutputError."""
    write_png(_draw(promotion, new_examples), path)


def _draw(promotion: Promotion, new_examples: NewExamplesReport | None) -> Figure:
    """Differences in F1 alone, or with the drift beside them."""
    if new_examples is None:
        figure = Figure(figsize=(6, 3), layout="constrained")
        _draw_gains(figure.subplots(), promotion)
        return figure
    rows = min(SHOWN, len(new_examples.drift.rates))
    figure = Figure(figsize=(12, max(5.0, 1.5 + 0.24 * rows)), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic([["rates", "gains"], ["rates", "shifts"]], width_ratios=[1.3, 1])
    _draw_rates(axes["rates"], new_examples)
    _draw_gains(axes["gains"], promotion)
    _draw_shifts(axes["shifts"], new_examples)
    return figure


def _draw_gains(ax: Axes, promotion: Promotion) -> None:
    for y, (name, gain) in enumerate(promotion.gain.items()):
        low, high = gain.value - gain.low, gain.high - gain.value
        colour, size = (BLUE, 8) if name == promotion.objective else (GREY, 5)
        ax.errorbar(gain.value, y, xerr=[[low], [high]], fmt="o", color=colour, markersize=size, capsize=3)
    ax.set_yticks(range(len(promotion.gain)), [METRICS[name] for name in promotion.gain])
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.axvline(-promotion.max_f1_drop, color=ORANGE, linestyle="--", label="what may be lost")
    ax.invert_yaxis()
    title = f"{promotion.decision}: {promotion.reason}"
    ax.set(xlabel=f"new - old on {promotion.examples} test examples", title=title)
    ax.legend(fontsize="small")


def _draw_rates(ax: Axes, new_examples: NewExamplesReport) -> None:
    rates = sorted(new_examples.drift.rates, key=lambda rate: -abs(rate.change))[:SHOWN]
    for y, rate in enumerate(rates):
        ends = [[100 * (rate.change - rate.low)], [100 * (rate.high - rate.change)]]
        colour = ORANGE if rate.drifted else BLUE
        ax.errorbar(100 * rate.change, y, xerr=ends, fmt="o", color=colour, markersize=4, capsize=2)
    ax.set_yticks(range(len(rates)), [_shortened(rate.name) for rate in rates], parse_math=False, fontsize="small")
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.invert_yaxis()
    title = f"Rates: {new_examples.fresh} new examples, {new_examples.reference} of the reference"
    ax.set(xlabel="change in percentage points, simultaneous intervals", title=title)


def _draw_shifts(ax: Axes, new_examples: NewExamplesReport) -> None:
    """In units of what chance stays below; 0 where all values are the same."""
    shifts = new_examples.drift.shifts
    for y, shift in enumerate(shifts):
        distance = shift.value / shift.chance if shift.chance > 0 else 0.0
        ax.barh(y, distance, color=ORANGE if shift.drifted else BLUE)
    ax.set_yticks(range(len(shifts)), [shift.name for shift in shifts])
    ax.axvline(1, color=ORANGE, linestyle="--")
    ax.invert_yaxis()
    ax.set(xlabel="distance; chance stays left of the line", title="Distributions")


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
