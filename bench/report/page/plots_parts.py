"""The plots of where a call's time and a process's memory go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.kit import plot as kit
from bench.report.kit.style import INK, MUTED, PAPER, Colour, stage
from bench.report.kit.text import milliseconds, width_of
from bench.report.measured import Memory
from bench.report.types import BenchReport, Row

ROW = 38.0


def key(names: Sequence[str]) -> list[tuple[str, str]]:
    """The stages behind the names of their colours."""
    return [(stage(name).name, name) for name in names]


@kit.drawing()
def stages(report: BenchReport, colours: Mapping[str, Colour]) -> kit.Plot:
    """A bar for each variant, its whole width one call, cut by the share of each stage."""
    rows = [row for row in report.rows if row.stages]
    figure = kit.canvas(ROW * len(rows) + 4)
    ax = kit.rows_axes(figure, len(rows), ROW)
    ax.set_xlim(0, 1)
    ax.spines["bottom"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(1))
    ax.tick_params(labelbottom=False)
    for i, row in enumerate(rows):
        whole = sum(part.ms for part in row.stages)
        kit.head(ax, i * ROW + 10, row.name, f"{milliseconds(whole)} ms", colours[row.name], row.own)
        _cut(ax, row, i * ROW + 14, whole or 1.0)
    each = (f"{r.name} {', '.join(f'{part.name} {milliseconds(part.ms)} ms' for part in r.stages)}" for r in rows)
    return kit.Plot(figure, f"Where a call's time goes: {'; '.join(each)}")


def _cut(ax: Axes, row: Row, top: float, whole: float) -> None:
    """The bar. A part too narrow for its name and milliseconds shows the name, or nothing: a table has them all."""
    start = 0.0
    for part in row.stages:
        wide, colour = part.ms / whole, stage(part.name).drawn
        ax.barh(top + 8, wide, 16, start, color=colour, edgecolor=PAPER.drawn, linewidth=1, clip_on=False)
        room = wide * (kit.WIDTH - 16) - 4
        for text in (f"{part.name} {milliseconds(part.ms)}", part.name):
            if width_of(text, kit.SMALL) <= room:
                ax.text(start + wide / 2, top + 11, text, fontsize=kit.SMALL, ha="center", va="baseline")
                break
        start += wide


@kit.drawing()
def memory(report: BenchReport, colours: Mapping[str, Colour]) -> kit.Plot:
    """A bar for each variant: imports, then what is held after the calls, then the most ever; a thin one below it
    for the same without the arena."""
    figure = kit.canvas(ROW * len(report.rows) + 34)
    ax = kit.rows_axes(figure, len(report.rows), ROW)
    ax.set_xlim(0, max(row.memory.peak_bytes for row in report.rows) / 1e6)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x")
    ax.set_xlabel("resident memory, MB (RSS)")
    for i, row in enumerate(report.rows):
        kit.head(ax, i * ROW + 10, row.name, _peaks(row.memory), colours[row.name], row.own)
        _held(ax, row.memory, i * ROW + 14, colours[row.name].drawn)
    alt = "; ".join(f"{row.name} {_peaks(row.memory)}" for row in report.rows)
    return kit.Plot(figure, f"Memory of a process: {alt}")


def _peaks(memory: Memory) -> str:
    text, arena = f"peak {memory.peak_bytes / 1e6:.0f} MB", memory.without_arena
    return text if arena is None else f"{text}, arena off {arena.peak_bytes / 1e6:.0f}"


def _held(ax: Axes, memory: Memory, top: float, colour: str) -> None:
    """Both bars, and the load's peak as a line across the first."""
    imported = memory.imported.rss_bytes
    _bar(ax, (imported, memory.steady.rss_bytes, memory.peak_bytes), (top, 10), colour)
    x = memory.load_peak_bytes / 1e6
    ax.plot([x, x], [top - 2, top + 12], color=INK.drawn, linewidth=1.6, clip_on=False)
    if memory.without_arena is not None:
        steps = (imported, memory.without_arena.steady.rss_bytes, memory.without_arena.peak_bytes)
        _bar(ax, steps, (top + 12, 5), colour)


def _bar(ax: Axes, steps: Sequence[float], rows: tuple[float, float], colour: str) -> None:
    """Grey up to the imports, full up to steady, hollow up to the peak."""
    imported, steady, peak = (step / 1e6 for step in steps)
    top, height = rows
    middle, start = top + height / 2, max(imported, steady)
    ax.barh(middle, imported, height, color=MUTED.drawn, alpha=0.45)
    ax.barh(middle, max(0.0, steady - imported), height, imported, color=colour)
    hollow: dict[str, Any] = {"color": "none", "edgecolor": colour, "linewidth": 1, "clip_on": False}
    ax.barh(middle, max(0.0, peak - start), height - 1, start, **hollow)
