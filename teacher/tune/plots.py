"""Plots of a search: how it went, and what each value made of it. Knows trials and matplotlib, no display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.core.files import write_bytes
from teacher.tune.search import RATES, Tried, Value

HISTORY, PARAMETERS = "history.png", "parameters.png"
WHOLE, PRUNED, LINE = "#1f5fa8", "#b0b0b0", "#d1602b"
ACROSS = 3  # plots in a row
DPI = 130


def write(found: Sequence[Tried], objective: str, folder: Path) -> None:
    """history.png and parameters.png."""
    for name, figure in (
        (HISTORY, history(found, f"{objective} F1")),
        (PARAMETERS, parameters(found, f"{objective} F1")),
    ):
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        write_bytes(folder / name, content.getvalue())


def history(found: Sequence[Tried], what: str) -> Figure:
    """Values in the order of the trials, and the best so far."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    _points(ax, found, [one.number for one in found])
    whole = [one for one in found if one.value is not None]
    best = [max(o.value for o in whole[: i + 1] if o.value is not None) for i in range(len(whole))]
    ax.plot([one.number for one in whole], best, drawstyle="steps-post", color=LINE, label="best so far")
    ax.set(xlabel="trial", ylabel=what, title="Every trial, and the best so far")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize="small")
    return figure


def parameters(found: Sequence[Tried], what: str) -> Figure:
    """One plot a searched key: its value across, what came of it up."""
    keys = list(dict.fromkeys(key for one in found for key in one.values))
    rows = -(-len(keys) // ACROSS)
    figure = Figure(figsize=(3.2 * ACROSS, 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, ACROSS, sharey=True, squeeze=False).ravel()
    for ax, key in zip(grid, keys, strict=False):
        having = [one for one in found if key in one.values]
        choices = [one.values[key] for one in having]
        names = sorted(set(choices), key=lambda c: (isinstance(c, str), c))
        if key in ("batch_size", "loss"):
            ax.set_xticks(range(len(names)), [str(name) for name in names])
            ax.set_xlim(-0.5, len(names) - 0.5)
            choices = [names.index(choice) for choice in choices]
        elif key in RATES:
            ax.set_xscale("log")
        _points(ax, having, choices)
        ax.set_xlabel(key)
    for ax in grid[:: len(grid[:ACROSS])]:
        ax.set_ylabel(what)
    for ax in grid[len(keys) :]:
        ax.set_axis_off()
    return figure


def _points(ax: Axes, found: Sequence[Tried], across: Sequence[Value]) -> None:
    """Whole trials as discs; pruned ones as crosses, at the value of the folds that they saw."""
    for state, marker, colour in (("complete", "o", WHOLE), ("pruned", "x", PRUNED)):
        chosen = [one.state == state and len(one.by_fold) > 0 for one in found]
        xs = [x for x, wanted in zip(across, chosen, strict=True) if wanted]
        ys = [one.by_fold[-1] for one, wanted in zip(found, chosen, strict=True) if wanted]
        if xs:
            ax.scatter(xs, ys, marker=marker, color=colour, s=28, label=state)
