"""Plots of decisions, of labels that come together and of training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import Affine2D

from bench.inspect.colours import GOLD, HIT, PREDICTED
from bench.inspect.findings import Confusion
from bench.inspect.selective import Step
from bench.report.kit import plot as kit
from bench.report.kit.style import GRID, INK, MUTED, PAPER, Colour
from bench.report.kit.text import fit, width_of
from distill.model.training_log import TrainLog
from distill.scoring.trade_off import TradeOff

ROW = 25.0
BAR = 9.0
# Found, missed, false: order and fullness tell them apart for those who do not tell the colours.
KINDS = ((HIT, 1.0), (GOLD, 0.6), (PREDICTED, 0.12))
NAMES = 128.0  # room left of a heat map
LEVELS = (0.1, 0.25, 0.5, 0.75, 1.0)  # shares; a cell takes the colour of the first that it does not exceed
STRENGTHS = (0.14, 0.32, 0.52, 0.76, 1.0)
PANEL = 84.0


@kit.drawing()
def confusion(labels: Sequence[Confusion]) -> kit.Plot:
    """A bar a label, of all that is gold or decided: found, missed, false; the figures above it."""
    figure = kit.canvas(20 + ROW * len(labels))
    ax = kit.rows_axes(figure, len(labels), ROW, 16)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_locator(NullLocator())
    ax.spines["bottom"].set_visible(False)
    words = ("found", "missed (gold, not decided)", "false (decided, not gold)")
    for x, word, kind in zip((0, 0.15, 0.58), words, KINDS, strict=True):
        _bar(ax, -8, x, 0.024, kind)
        ax.text(x + 0.034, -8, word, fontsize=kit.SMALL, va="center", color=MUTED.drawn)
    texts = [f"{label.tp} found, {label.fn} missed, {label.fp} false" for label in labels]
    for i, (label, text) in enumerate(zip(labels, texts, strict=True)):
        kit.head(ax, i * ROW + 9, label.name, text)
        _cut(ax, i * ROW + 17, (label.tp, label.fn, label.fp))
    each = (f"{label.name}: {text}" for label, text in zip(labels, texts, strict=True))
    return kit.Plot(figure, f"Decisions by label. {'; '.join(each)}")


def _cut(ax: Axes, y: float, counts: tuple[int, int, int]) -> None:
    whole, left = sum(counts), 0.0
    if not whole:
        ax.plot([0, 1], [y, y], color=GRID.drawn, linewidth=1)
    for count, kind in zip(counts, KINDS, strict=True):
        if count:
            _bar(ax, y, left, count / whole, kind)
            left += count / whole


def _bar(ax: Axes, y: float, left: float, wide: float, kind: tuple[Colour, float]) -> None:
    colour, strength = kind
    ax.barh(y, wide, BAR, left, color=colour.drawn, alpha=strength, linewidth=0, clip_on=False)
    ax.barh(y, wide, BAR, left, color="none", edgecolor=colour.drawn, linewidth=1, clip_on=False)


@kit.drawing()
def heat(title: str, counts: Sequence[Sequence[int]], names: Sequence[str], colour: Colour) -> kit.Plot:
    """Row by row: of the examples with the row's label, the share that has the column's. Numbers name columns."""
    size = len(names)
    cell = (kit.WIDTH - NAMES - 4) / max(size, 8)
    figure = kit.canvas(22 + cell * size + 26)
    ax = kit.place(figure, NAMES, 20, cell * size, cell * size)
    ax.set_xlim(0, size)
    ax.set_ylim(size, 0)
    ax.xaxis.set_major_locator(NullLocator())
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines["bottom"].set_visible(False)
    for level, strength in enumerate(STRENGTHS):
        _cells(ax, counts, level, colour, strength)
    for i in range(size + 1):
        ax.plot([i, i], [0, size], color=PAPER.drawn, linewidth=1)
        ax.plot([0, size], [i, i], color=PAPER.drawn, linewidth=1)
    ax.plot([0, size, size, 0, 0], [0, 0, size, size, 0], color=GRID.drawn, linewidth=1, clip_on=False)
    letters = min(kit.SMALL, max(8.0, cell * 0.75))
    for i, name in enumerate(names):
        text = f"{fit(name, NAMES - 6 - width_of(f' {size}', letters), letters)} {i + 1}"
        ax.text(-4 / cell, i + 0.5, text, ha="right", va="center", fontsize=letters)
        if i % math.ceil(16 / cell) == 0:
            ax.text(i + 0.5, -4 / cell, str(i + 1), ha="center", fontsize=letters, color=MUTED.drawn)
    _scale(figure, colour)
    return kit.Plot(
        figure, f"{title}: which labels come together, as a heat map; the counts are in the table below it"
    )


def _cells(ax: Axes, counts: Sequence[Sequence[int]], level: int, colour: Colour, strength: float) -> None:
    """The cells of a level as a single shape, which keeps the page small; without the diagonal, which is always
    full."""
    squares = [
        Outline.unit_rectangle().transformed(Affine2D().translate(j, i))
        for i, row in enumerate(counts)
        for j, both in enumerate(row)
        if i != j and both and next(k for k, top in enumerate(LEVELS) if both / row[i] <= top) == level
    ]
    if squares:
        shape = Outline.make_compound_path(*squares)
        ax.add_patch(PathPatch(shape, facecolor=colour.drawn, edgecolor="none", linewidth=0, alpha=strength))


def _scale(figure: Figure, colour: Colour) -> None:
    """What the strengths mean, below a heat map."""
    height = figure.get_figheight() * 72
    ax = kit.place(figure, 0, height - 20, kit.WIDTH, 20)
    ax.set_xlim(0, kit.WIDTH)
    ax.set_ylim(20, 0)
    ax.set_axis_off()
    for i, (top, strength) in enumerate(zip(LEVELS, STRENGTHS, strict=True)):
        x = NAMES + i * (kit.WIDTH - NAMES) / len(LEVELS)
        ax.barh(11, 10, 10, x, color=colour.drawn, alpha=strength, linewidth=0)
        ax.text(x + 13, 11, f"≤ {top:.0%}", va="center", fontsize=8, color=MUTED.drawn)


@kit.drawing()
def trade_off(points: Sequence[TradeOff], own: tuple[float, float], constant: float) -> kit.Plot:
    """Macro-F1 against micro-F1 as the objective moves, the model's `own` of both, and the `constant` predictor's
    micro-F1."""
    figure = kit.canvas(230)
    ax = kit.place(figure, 44, 16, kit.WIDTH - 44 - 20, 170)
    across, up = [point.micro_f1 for point in points], [point.macro_f1 for point in points]
    low, high = min(*across, own[0], constant), max(*across, own[0], constant)
    pad = 0.08 * (high - low) + 0.01
    ax.set_xlim(max(low - pad, 0), min(high + pad, 1))
    ax.set_ylim(0.9 * min(*up, own[1]), 1.1 * max(*up, own[1]) + 0.01)
    ax.axvline(constant, color=GOLD.drawn, linewidth=1.5, linestyle="--")
    ax.plot(across, up, marker="o", markersize=4, color=PREDICTED.drawn, linewidth=1.5)
    ax.plot(*own, "D", markersize=7, color=HIT.drawn)
    kit.label_axes(ax, kit.linear_ticks(*ax.get_ylim(), 4), "micro-F1", "macro-F1")
    ends = f"macro-F1 alone {across[0]:.3f} / {up[0]:.3f}, micro-F1 alone {across[-1]:.3f} / {up[-1]:.3f}"
    own_words = f"this model's thresholds {own[0]:.3f} / {own[1]:.3f}"
    said = f"Micro- / macro-F1 as the objective moves: {ends}; {own_words}; constant predictor {constant:.3f}"
    return kit.Plot(figure, said)


@kit.drawing()
def coverage(steps: Sequence[Step]) -> kit.Plot:
    """Micro-F1 and precision of the surest posts, by their share."""
    height = PANEL + 10
    figure = kit.canvas(height + 56)
    ax = kit.place(figure, 40, 14, kit.WIDTH - 40 - 66, height)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    lines = (
        ("micro-F1", PREDICTED.drawn, "o", [(step.coverage, step.micro_f1) for step in steps]),
        ("precision", GOLD.drawn, "s", [(s.coverage, s.precision) for s in steps if s.precision is not None]),
    )
    ends = [height * points[-1][1] if points else 0.0 for *_, points in lines]
    for (word, colour, marker, points), end, moved in zip(lines, ends, kit.apart(ends, 12, height), strict=True):
        ax.plot(
            [x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.5, marker=marker, markersize=3
        )
        look = {"va": "center", "fontsize": kit.SMALL, "color": colour}
        kit.beside(ax, word, (1, end / height), (9, moved - end), **look)
    kit.label_axes(ax, kit.QUARTERS, "share of the posts that is answered", "")
    kit.ticks(ax.xaxis, kit.QUARTERS)
    return kit.Plot(figure, "Micro-F1 and precision against the share of posts answered, the surest posts first")


@kit.drawing()
def learning(log: TrainLog, summary: str) -> kit.Plot:
    """Training loss, dev loss and the two AP on dev, one above the other, by epoch; a band at the kept one.

    `summary` says what the training came to, for the plot's description."""
    epochs = [epoch.epoch for epoch in log.epochs]
    panels = (
        ("training loss", ([epoch.loss for epoch in log.epochs],)),
        ("dev loss", ([epoch.dev_loss for epoch in log.epochs],)),
        ("dev AP", ([e.dev_micro_ap for e in log.epochs], [e.dev_macro_ap for e in log.epochs])),
    )
    figure = kit.canvas(len(panels) * (PANEL + 34) + 20)
    for i, (name, lines) in enumerate(panels):
        ax = kit.place(figure, 40, 24 + i * (PANEL + 34), kit.WIDTH - 40 - 46, PANEL)
        ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        _panel(ax, name, epochs, lines, log.best_epoch)
        ax.tick_params(labelbottom=i == len(panels) - 1)
    ax.set_xlabel("epoch")
    return kit.Plot(figure, f"Training loss, dev loss and dev AP by epoch. {summary}")


def _panel(ax: Axes, name: str, epochs: list[int], lines: Sequence[list[float]], best: int) -> None:
    looks = ((INK.drawn, "o", "micro"), (PREDICTED.drawn, "s", "macro"))
    ax.axvline(best, color=HIT.drawn, linewidth=5, alpha=0.25)
    for values, (colour, marker, _) in zip(lines, looks, strict=False):
        ax.plot(epochs, values, marker=marker, markersize=4, color=colour, linewidth=1.5, clip_on=False)
        if best in epochs:
            ax.plot(best, values[epochs.index(best)], marker, markersize=7, color=colour, clip_on=False)
    if len(lines) > 1:  # of AP, in 0..1
        ax.set_ylim(0, 1)
        ends = [PANEL * values[-1] for values in lines]
        for (colour, _, word), end, moved in zip(looks, ends, kit.apart(ends, 12, PANEL), strict=True):
            look = {"va": "center", "fontsize": kit.SMALL, "color": colour}
            kit.beside(ax, word, (1, end / PANEL), (9, moved - end), **look)
    else:
        low, high = min(lines[0]), max(lines[0])
        pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
        ax.set_ylim(low - pad, high + pad)
    kit.label_axes(ax, kit.linear_ticks(*ax.get_ylim(), 3), "", name)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
