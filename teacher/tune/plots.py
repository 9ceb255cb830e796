"""Plots of a search: the trials in their order, and the score against each searched setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from teacher.plots import BLUE, GREY, ORANGE, write_png
from teacher.tune.search import RATES, Trial, Value

HISTORY, PARAMETERS = "history.png", "parameters.png"
COLUMNS = 3


def write_search_plots(trials: Sequence[Trial], objective: str, folder: Path) -> None:
    """Write history.png and parameters.png. Raises OutputError."""
    write_png(draw_history(trials, f"{objective} F1"), folder / HISTORY)
    write_png(draw_parameters(trials, f"{objective} F1"), folder / PARAMETERS)


def draw_history(trials: Sequence[Trial], metric: str) -> Figure:
    """Scores in the order of the trials, and the best so far."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    _scatter(ax, trials, [trial.number for trial in trials])
    scored = [(trial.number, trial.value) for trial in trials if trial.value is not None]
    best = [max(value for _, value in scored[: i + 1]) for i in range(len(scored))]
    ax.plot([number for number, _ in scored], best, drawstyle="steps-post", color=ORANGE, label="best so far")
    ax.set(xlabel="trial", ylabel=metric, title="Every trial, and the best so far")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize="small")
    return figure


def draw_parameters(trials: Sequence[Trial], metric: str) -> Figure:
    """One plot a searched setting: its value on the x axis, the score on the y axis."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    rows = -(-len(keys) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for ax, key in zip(grid, keys, strict=False):
        with_key = [trial for trial in trials if key in trial.values]
        xs = [trial.values[key] for trial in with_key]
        names = sorted(set(xs), key=lambda x: (isinstance(x, str), x))
        if key in ("batch_size", "loss"):
            ax.set_xticks(range(len(names)), [str(name) for name in names])
            ax.set_xlim(-0.5, len(names) - 0.5)
            xs = [names.index(x) for x in xs]
        elif key in RATES:
            ax.set_xscale("log")
        _scatter(ax, with_key, xs)
        ax.set_xlabel(key)
    for ax in grid[::COLUMNS]:
        ax.set_ylabel(metric)
    for ax in grid[len(keys) :]:
        ax.set_axis_off()
    return figure


def _scatter(ax: Axes, trials: Sequence[Trial], xs: Sequence[Value]) -> None:
    """Complete trials as discs; pruned ones as crosses, at their score when they were pruned."""
    for state, marker, colour in (("complete", "o", BLUE), ("pruned", "x", GREY)):
        pairs = [(x, t.by_fold[-1]) for x, t in zip(xs, trials, strict=True) if t.state == state and t.by_fold]
        if pairs:
            ax.scatter([x for x, _ in pairs], [y for _, y in pairs], marker=marker, color=colour, s=28, label=state)
