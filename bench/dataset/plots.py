"""The plot of a dataset's page: how many rows have each label."""

from __future__ import annotations

from matplotlib.ticker import NullLocator

from bench.report.kit import plot as kit
from bench.report.kit.style import OTHERS, OWN
from distill.data.survey import Survey

ROW = 25.0
BAR = 9.0
MAX_LABELS = 60  # the table has all


@kit.drawing()
def labels(survey: Survey) -> kit.Plot:
    """A bar a label, the most frequent on top: its share of the rows whose labels are known."""
    ordered = sorted(survey.labels, key=lambda label: -label.total)[:MAX_LABELS]
    known = sum(part.known_labels for part in survey.splits) or 1
    figure = kit.canvas(8 + ROW * len(ordered))
    ax = kit.rows_axes(figure, len(ordered), ROW, 4)
    ax.set_xlim(0, max((label.total / known for label in ordered), default=0) or 1)
    ax.xaxis.set_major_locator(NullLocator())
    ax.spines["bottom"].set_visible(False)
    texts = [f"{label.total:,}, {label.total / known:.1%}" for label in ordered]
    for i, (label, text) in enumerate(zip(ordered, texts, strict=True)):
        kit.head(ax, i * ROW + 9, label.name, text)
        ax.barh(i * ROW + 17, label.total / known, BAR, color=(OTHERS[0] if label.total else OWN).drawn)
    each = (f"{label.name}: {text}" for label, text in zip(ordered, texts, strict=True))
    return kit.Plot(figure, f"Rows by label. {'; '.join(each)}")
