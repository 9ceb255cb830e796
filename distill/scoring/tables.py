"""Tables of metrics for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from distill.scoring.metrics import ConstantBaseline, Quality


def threshold_cell(threshold: float | None) -> str:
    """A threshold in a table; a label of a group is decided where it is the most probable of them."""
    return "highest" if threshold is None else f"{threshold:.3f}"


def quality_table(title: str, rows: Sequence[tuple[str, Quality]], constant: ConstantBaseline | None) -> Table:
    """Overall metrics, one row for each named quality, and the constant baseline below."""
    table = Table(title=title, title_justify="left")
    table.add_column("")  # the one that wraps when the terminal is narrow: figures stay whole
    for name in ("micro-F1 [95 %]", "macro-F1 [95 %]", "empty = 1", "micro-AP", "ECE"):
        table.add_column(name, justify="right", no_wrap=True)
    if any(q.hierarchical_f1 is not None for _, q in rows):
        table.add_column("hierarchical F1", justify="right", no_wrap=True)
    for group in rows[0][1].groups or ():
        table.add_column(f"{group.title} [95 %]", justify="right")
    for name, q in rows:
        figures = (q.micro_f1, q.macro_f1, q.macro_f1_empty_as_one, q.micro_ap, q.ece)
        above = (f"{q.hierarchical_f1:.3f}",) if q.hierarchical_f1 is not None else ()
        accuracies = (f"{group.accuracy:.3f}" for group in q.groups or ())
        table.add_row(name, *(f"{figure:.3f}" for figure in figures), *above, *accuracies)
    if constant is not None:
        empty = f"{constant.macro_f1_empty_as_one:.3f}"
        name = f"constant ({len(constant.names)} labels)"
        f1s = (f"{constant.micro_f1:.3f}", f"{constant.macro_f1:.3f}", empty, "", "")
        above = ("",) if rows[0][1].hierarchical_f1 is not None else ()
        accuracies = (f"{group.accuracy.value:.3f}" for group in constant.groups or ())
        table.add_row(name, *f1s, *above, *accuracies, style="dim")
    return table


def label_table(quality: Quality) -> Table:
    """Metrics by label, the most frequent first."""
    table = Table(title="By label", title_justify="left")
    table.add_column("label")
    for name in ("support", "predicted", "precision", "recall", "F1", "AP", "threshold"):
        table.add_column(name, justify="right", no_wrap=True)
    for label in sorted(quality.labels, key=lambda item: -item.support):
        ap = "–" if label.average_precision is None else f"{label.average_precision:.3f}"
        figures = (f"{value:.3f}" for value in (label.precision, label.recall, label.f1))
        counts = (str(label.support), str(label.predicted))
        table.add_row(label.name, *counts, *figures, ap, threshold_cell(label.threshold))
    return table
