"""Plots of decisions, of labels that come together, of training and of calibration. Knows findings, no page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.inspect.findings import Confusion
from bench.inspect.paint import GOLD, HIT, PREDICTED, Cell, cells, place
from bench.inspect.temperature import Calibrated, Scaling
from bench.report.page.style import GRID, INK, MUTED, PAPER, Colour
from bench.report.page.svg import (
    SIZE,
    SMALL,
    WIDTH,
    apart,
    axes,
    canvas,
    drawing,
    fit,
    label_axes,
    rows_axes,
    width_of,
)
from distill.model.training_log import TrainLog

ROW = 25.0
BAR = 9.0
# Found, missed, false: order and fullness tell them apart for those who do not tell the colours.
KINDS = ((HIT, 1.0), (GOLD, 0.6), (PREDICTED, 0.12))
NAMES = 128.0  # room left of a heat map
LEVELS = (0.1, 0.25, 0.5, 0.75, 1.0)  # shares; a cell takes the colour of the first that it does not exceed
STRENGTHS = (0.14, 0.32, 0.52, 0.76, 1.0)
PANEL = 84.0
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
FEW = 30  # pairs; a bin with fewer is drawn small


def confusion(found: Sequence[Confusion]) -> Figure:
    """A bar a label, of all that is gold or decided: found, missed, false; the figures above it."""
    with drawing():
        figure = canvas(20 + ROW * len(found))
        ax = rows_axes(figure, len(found), ROW, 16)
        ax.set_xlim(0, 1)
        _confusion_key(ax)
        ax.xaxis.set_major_locator(NullLocator())
        ax.spines["bottom"].set_visible(False)
        for i, label in enumerate(found):
            _confusion_row(ax, i * ROW, label)
    return figure


def _confusion_key(ax: Axes) -> None:
    kinds = (
        ("found", *KINDS[0]),
        ("missed (gold, not decided)", *KINDS[1]),
        ("false (decided, not gold)", *KINDS[2]),
    )
    for x, (word, colour, strength) in zip((0, 0.15, 0.58), kinds, strict=True):
        _bar(ax, -8, x, 0.024, colour, strength)
        ax.text(x + 0.034, -8, word, fontsize=SMALL, va="center", color=MUTED.drawn)


def _bar(ax: Axes, y: float, left: float, wide: float, colour: Colour, strength: float) -> None:
    ax.barh(y, wide, BAR, left, color=colour.drawn, alpha=strength, linewidth=0, clip_on=False)
    ax.barh(y, wide, BAR, left, color="none", edgecolor=colour.drawn, linewidth=1, clip_on=False)


def _confusion_row(ax: Axes, y: float, label: Confusion) -> None:
    across = ax.get_yaxis_transform()
    figures = f"{label.tp} found, {label.fn} missed, {label.fp} false"
    room = WIDTH - 24 - width_of(figures, SMALL)
    ax.text(0, y + 9, fit(label.name, room, SMALL), transform=across, fontsize=SMALL, va="baseline")
    ax.text(1, y + 9, figures, transform=across, fontsize=SMALL, ha="right", va="baseline", color=MUTED.drawn)
    whole, left = label.tp + label.fn + label.fp, 0.0
    if not whole:
        ax.plot([0, 1], [y + 17, y + 17], color=GRID.drawn, linewidth=1)
    for count, (colour, strength) in zip((label.tp, label.fn, label.fp), KINDS, strict=True):
        if count:
            _bar(ax, y + 17, left, count / whole, colour, strength)
            left += count / whole


def heat(counts: Sequence[Sequence[int]], names: Sequence[str], colour: Colour) -> Figure:
    """Row by row: of the examples with the row's label, the share that has the column's. Numbers name columns."""
    size = len(names)
    cell = (WIDTH - NAMES - 4) / max(size, 8)
    with drawing():
        figure = canvas(22 + cell * size + 26)
        ax = place(figure, NAMES, 20, cell * size, cell * size)
        ax.set_xlim(0, size)
        ax.set_ylim(size, 0)
        ax.xaxis.set_major_locator(NullLocator())
        ax.yaxis.set_major_locator(NullLocator())
        ax.spines["bottom"].set_visible(False)
        for level, strength in enumerate(STRENGTHS):
            cells(ax, _of_level(counts, level), colour.drawn, strength)
        for i in range(size + 1):
            ax.plot([i, i], [0, size], color=PAPER.drawn, linewidth=1)
            ax.plot([0, size], [i, i], color=PAPER.drawn, linewidth=1)
        ax.plot([0, size, size, 0, 0], [0, 0, size, size, 0], color=GRID.drawn, linewidth=1, clip_on=False)
        letters = min(SMALL, max(8.0, cell * 0.75))
        for i, name in enumerate(names):
            text = f"{fit(name, NAMES - 6 - width_of(f' {size}', letters), letters)} {i + 1}"
            ax.text(-4 / cell, i + 0.5, text, ha="right", va="center", fontsize=letters)
            if i % math.ceil(16 / cell) == 0:
                ax.text(i + 0.5, -4 / cell, str(i + 1), ha="center", fontsize=letters, color=MUTED.drawn)
        _scale(figure, colour)
    return figure


def _of_level(counts: Sequence[Sequence[int]], level: int) -> list[Cell]:
    """The cells of a level, without the diagonal's: it is always full."""
    found = []
    for i, row in enumerate(counts):
        for j, both in enumerate(row):
            share = both / row[i] if row[i] else 0.0
            if i != j and share and next(k for k, top in enumerate(LEVELS) if share <= top) == level:
                found.append((i, j))
    return found


def _scale(figure: Figure, colour: Colour) -> None:
    """What the strengths mean, below a heat map."""
    height = figure.get_figheight() * 72
    ax = place(figure, 0, height - 20, WIDTH, 20)
    ax.set_xlim(0, WIDTH)
    ax.set_ylim(20, 0)
    ax.set_axis_off()
    for i, (top, strength) in enumerate(zip(LEVELS, STRENGTHS, strict=True)):
        x = NAMES + i * (WIDTH - NAMES) / len(LEVELS)
        ax.barh(11, 10, 10, x, color=colour.drawn, alpha=strength, linewidth=0)
        ax.text(x + 13, 11, f"≤ {top:.0%}", va="center", fontsize=8, color=MUTED.drawn)


def learning(log: TrainLog) -> Figure:
    """Training loss, dev loss and the two AP on dev, one above the other, by epoch; a line at the kept one."""
    epochs = [epoch.epoch for epoch in log.epochs]
    panels = (
        ("training loss", ([epoch.loss for epoch in log.epochs],)),
        ("dev loss", ([epoch.dev_loss for epoch in log.epochs],)),
        ("dev AP", ([e.dev_micro_ap for e in log.epochs], [e.dev_macro_ap for e in log.epochs])),
    )
    with drawing():
        figure = canvas(len(panels) * (PANEL + 34) + 20)
        for i, (name, lines) in enumerate(panels):
            ax = place(figure, 40, 24 + i * (PANEL + 34), WIDTH - 40 - 46, PANEL)
            ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
            _panel(ax, name, epochs, lines, log.best_epoch)
            ax.tick_params(labelbottom=i == len(panels) - 1)
        ax.set_xlabel("epoch", fontsize=SMALL)
    return figure


def _panel(ax: Axes, name: str, epochs: list[int], lines: Sequence[list[float]], best: int) -> None:
    styles = ((INK, "o", "micro"), (PREDICTED, "s", "macro"))
    ax.axvline(best, color=HIT.drawn, linewidth=5, alpha=0.25)
    for values, (colour, marker, _) in zip(lines, styles, strict=False):
        ax.plot(epochs, values, marker=marker, markersize=4, color=colour.drawn, linewidth=1.5, clip_on=False)
        if best in epochs:
            ax.plot(best, values[epochs.index(best)], marker, markersize=7, color=colour.drawn, clip_on=False)
    everything = [value for values in lines for value in values]
    low, high = (0.0, 1.0) if len(lines) > 1 else (min(everything), max(everything))
    if len(lines) == 1:
        pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
        ax.set_ylim(low - pad, high + pad)
    else:
        ax.set_ylim(low, high)
        heights = [PANEL * values[-1] for values in lines]  # the panel is 1 high in AP
        for (colour, _, said), height, moved in zip(styles, heights, apart(heights, 12, PANEL), strict=True):
            ax.annotate(
                said,
                (epochs[-1], height / PANEL),
                (9, moved - height),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=colour.drawn,
                annotation_clip=False,
            )
    locator = MaxNLocator(3)
    label_axes(
        ax, [t for t in locator.tick_values(*ax.get_ylim()) if ax.get_ylim()[0] <= t <= ax.get_ylim()[1]], "", name
    )
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))


def calibration(found: Scaling) -> Figure:
    """How often labels are right by how probable they were said to be, before and after one temperature."""
    marks = ((found.before, PREDICTED, "before"), (found.after, GOLD, "after"))
    with drawing():
        figure = canvas(56 + 230 + 30 + 44 + 32)
        ax = axes(figure, 34, 56, 8, 30 + 44 + 32)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.tick_params(labelbottom=False)
        label_axes(ax, QUARTERS, "", "frequency of the label")
        ax.plot([0, 1], [0, 1], color=MUTED.drawn, linewidth=1, dashes=(4, 3))
        for i, (side, colour, name) in enumerate(marks):
            _curve(ax, side, colour, ring=i > 0)
            text = f"{'○' if i else '●'}  {name}: ECE {side.ece:.3f}, log loss {side.log_loss:.3f}"
            ax.annotate(
                text,
                (0, 1),
                (0, 42 - 14 * i),
                xycoords="axes fraction",
                textcoords="offset points",
                color=colour.drawn,
                va="center",
                fontsize=SIZE,
            )
        _pairs(axes(figure, 34, 56 + 230 + 30, 8, 32), found.before)
    return figure


def _curve(ax: Axes, side: Calibrated, colour: Colour, ring: bool) -> None:
    xs, ys = [part.mean_probability for part in side.bins], [part.frequency for part in side.bins]
    ax.plot(xs, ys, color=colour.drawn, linewidth=1.2 if ring else 2)
    for part, x, y in zip(side.bins, xs, ys, strict=True):
        face = PAPER.drawn if ring else colour.drawn
        size = (7.0 if ring else 6.0) if part.count >= FEW else 3.5
        ax.plot(x, y, "o", markersize=size, color=face, markeredgecolor=colour.drawn, clip_on=False)


def _pairs(ax: Axes, side: Calibrated) -> None:
    most = max((part.count for part in side.bins), default=1)
    ax.set_xlim(0, 1)
    ax.set_yscale("log")
    ax.set_ylim(0.7, most * 1.3)
    label_axes(
        ax, [10.0**e for e in range(12) if 10.0**e <= most], "mean probability", "pairs in a bin, before (log)"
    )
    ax.xaxis.set_major_locator(FixedLocator(QUARTERS))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for part in side.bins:
        middle, width = (part.low + part.high) / 2, (part.high - part.low) * 0.8
        ax.bar(middle, part.count, width, color=PREDICTED.drawn)
