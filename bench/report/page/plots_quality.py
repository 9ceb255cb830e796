"""The plots of F1 by label and of reliability: of the own variant, and of the one that it is measured against."""

from __future__ import annotations

from collections.abc import Mapping

from bench.report.kit import plot as kit
from bench.report.kit.reliability import LINE, Series, names, reliability
from bench.report.kit.style import GRID, MUTED, Colour
from bench.report.page.devices import reference
from bench.report.types import BenchReport, Row, by_support

LABEL_ROW = 25.0


def _pair(report: BenchReport) -> list[Row]:
    return [row for row in (report.own, reference(report)) if row is not None]


@kit.drawing()
def by_label(report: BenchReport, colours: Mapping[str, Colour]) -> kit.Plot:
    """F1 of each label, the most frequent first: a dot for the own variant, a ring for the other."""
    rows = _pair(report)
    first, order, above = rows[0].quality.labels, by_support(rows[0].quality), LINE * len(rows) + 6
    figure = kit.canvas(above + LABEL_ROW * len(order) + 34)
    ax = kit.rows_axes(figure, len(order), LABEL_ROW, above)
    ax.set_xlim(-0.01, 1.01)
    kit.ticks(ax.xaxis, kit.QUARTERS)
    ax.set_xlabel("F1")
    names(ax, [(row.name, colours[row.name]) for row in rows])
    each = []
    for place, i in enumerate(order):
        y, f1s = place * LABEL_ROW, [row.quality.labels[i].f1 for row in rows]
        kit.head(ax, y + 9, first[i].name, f"n = {first[i].support}")
        ax.plot([0, 1], [y + 18, y + 18], color=GRID.drawn, linewidth=1)
        ax.plot([min(f1s), max(f1s)], [y + 18, y + 18], color=MUTED.drawn, linewidth=2)
        # The ring last and wider: where both agree, it encircles the dot.
        for ring, (f1, row) in enumerate(zip(f1s, rows, strict=True)):
            kit.dot(ax, f1, y + 18, 8 if ring else 5.5, colours[row.name], "none" if ring else "")
        each.append(f"{first[i].name} ({first[i].support}) {' and '.join(f'{f1:.2f}' for f1 in f1s)}")
    return kit.Plot(figure, f"F1 by label, {' and '.join(row.name for row in rows)}: {'; '.join(each)}")


def reliable(report: BenchReport, colours: Mapping[str, Colour]) -> kit.Plot:
    """The reliability diagram of both."""
    return reliability(
        [Series(f"{r.name}, ECE {r.quality.ece:.3f}", colours[r.name], r.reliability) for r in _pair(report)]
    )
