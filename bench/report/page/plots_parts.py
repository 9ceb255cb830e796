"""Plots of where a call's time and a process's memory go. Knows reports, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.page.html import Html
from bench.report.page.style import INK, MUTED, PAPER, Colour, stage
from bench.report.page.svg import SMALL, WIDTH, canvas, drawing, head, inline, rows_axes, width_of
from bench.report.page.words import megabytes, milliseconds
from bench.report.types import BenchReport, Memory, Row

ROW = 38.0


def stages(report: BenchReport, colours: Mapping[str, Colour], name: str) -> Html:
    """A bar for each variant, its whole width one call, cut by the share of each stage."""
    rows = [row for row in report.rows if row.stages]
    with drawing():
        figure = canvas(ROW * len(rows) + 4)
        ax = rows_axes(figure, len(rows), ROW)
        ax.set_xlim(0, 1)
        ax.spines["bottom"].set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(1))
        ax.tick_params(labelbottom=False)
        for i, row in enumerate(rows):
            head(ax, i * ROW + 10, row.name, f"{milliseconds(total(row))} ms", colours[row.name].drawn, row.own)
            _cut(ax, row, i * ROW + 14)
        told = "; ".join(
            f"{row.name} " + ", ".join(f"{part.name} {milliseconds(part.ms)} ms" for part in row.stages)
            for row in rows
        )
        return inline(figure, name, f"Where a call's time goes: {told}")


def total(row: Row) -> float:
    """Mean milliseconds of all stages together."""
    return sum(part.ms for part in row.stages)


def _cut(ax: Axes, row: Row, top: float) -> None:
    """The bar. A part too narrow for its name and milliseconds shows the name, or nothing: a table has them all."""
    whole, start = total(row) or 1.0, 0.0
    for part in row.stages:
        wide = part.ms / whole
        ax.barh(
            top + 8,
            wide,
            16,
            left=start,
            color=stage(part.name).drawn,
            edgecolor=PAPER.drawn,
            linewidth=1,
            clip_on=False,
        )
        room = wide * (WIDTH - 16) - 4
        for text in (f"{part.name} {milliseconds(part.ms)}", part.name):
            if width_of(text, SMALL) <= room:
                ax.text(start + wide / 2, top + 11, text, fontsize=SMALL, ha="center", va="baseline")
                break
        start += wide


def memory(report: BenchReport, colours: Mapping[str, Colour], name: str) -> Html:
    """A bar for each variant: imports, then what is held after the calls, then the most ever; a thin one below it
    for the same without the arena."""
    with drawing():
        figure = canvas(ROW * len(report.rows) + 34)
        ax = rows_axes(figure, len(report.rows), ROW)
        most = max(row.memory.peak_bytes for row in report.rows)
        ax.set_xlim(0, most / 1e6)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.grid(axis="x")
        ax.set_xlabel("resident memory, MB (RSS)", fontsize=SMALL)
        for i, row in enumerate(report.rows):
            colour = colours[row.name].drawn
            head(ax, i * ROW + 10, row.name, _peaks(row.memory), colour, row.own)
            _held(ax, row.memory, i * ROW + 14, colour)
        told = "; ".join(f"{row.name} {_peaks(row.memory)}" for row in report.rows)
        return inline(figure, name, f"Memory of a process: {told}")


def _peaks(found: Memory) -> str:
    text = f"peak {megabytes(found.peak_bytes)} MB"
    return text if found.without_arena is None else f"{text}, arena off {megabytes(found.without_arena.peak_bytes)}"


def _held(ax: Axes, found: Memory, top: float, colour: str) -> None:
    """Both bars, and the load's peak as a line across the first."""
    imported = found.imported.rss_bytes
    _bar(ax, (imported, found.steady.rss_bytes, found.peak_bytes), (top, 10), colour)
    x = found.load_peak_bytes / 1e6
    ax.plot([x, x], [top - 2, top + 12], color=INK.drawn, linewidth=1.6, clip_on=False)
    if found.without_arena is not None:
        steps = (imported, found.without_arena.steady.rss_bytes, found.without_arena.peak_bytes)
        _bar(ax, steps, (top + 12, 5), colour)


def _bar(ax: Axes, steps: Sequence[float], place: tuple[float, float], colour: str) -> None:
    """Grey up to the imports, full up to steady, hollow up to the peak."""
    imported, steady, peak = (step / 1e6 for step in steps)
    top, height = place
    middle = top + height / 2
    ax.barh(middle, imported, height, color=MUTED.drawn, alpha=0.45)
    ax.barh(middle, max(0.0, steady - imported), height, left=imported, color=colour)
    start = max(imported, steady)
    ax.barh(
        middle,
        max(0.0, peak - start),
        height - 1,
        left=start,
        color="none",
        edgecolor=colour,
        linewidth=1,
        clip_on=False,
    )
