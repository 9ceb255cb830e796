"""What people see while they wait and when it is done. Knows rich; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from distill.metrics import Constant, Quality

T = TypeVar("T")

PIPE_WIDTH = 120  # columns of a table when nobody's terminal says


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)


console = _console(stderr=True)  # progress, notes and warnings
output = _console(stderr=False)  # results: what a pipe should receive


def track(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """Yield the items under a progress bar on stderr; `total=None` shows a count without an end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)


def note(text: str) -> None:
    """One line of progress."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line that a user should read."""
    console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def interval(value: float, low: float, high: float) -> str:
    """A figure with its interval: 0.512 [0.44, 0.58]."""
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def quality_table(title: str, rows: Sequence[tuple[str, Quality]], constant: Constant | None) -> Table:
    """Overall figures, one row a set of decisions, beside the constant predictor."""
    table = Table(title=title, title_justify="left")
    table.add_column("")  # the one that wraps when the terminal is narrow: figures stay whole
    for name in ("micro-F1 [95 %]", "macro-F1 [95 %]", "empty = 1", "micro-AP", "ECE"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, q in rows:
        table.add_row(
            name,
            interval(q.micro_f1, q.micro_f1_interval.low, q.micro_f1_interval.high),
            interval(q.macro_f1, q.macro_f1_interval.low, q.macro_f1_interval.high),
            f"{q.macro_f1_empty_as_one:.3f}",
            f"{q.micro_ap:.3f}",
            f"{q.ece:.3f}",
        )
    if constant is not None:
        empty = f"{constant.macro_f1_empty_as_one:.3f}"
        name = f"constant ({len(constant.names)} labels)"
        table.add_row(name, f"{constant.micro_f1:.3f}", f"{constant.macro_f1:.3f}", empty, "", "", style="dim")
    return table


def label_table(quality: Quality) -> Table:
    """One row a label, the most frequent first."""
    table = Table(title="By label", title_justify="left")
    table.add_column("label")
    for name in ("support", "predicted", "precision", "recall", "F1", "AP", "threshold"):
        table.add_column(name, justify="right", no_wrap=True)
    for label in sorted(quality.labels, key=lambda item: -item.support):
        ap = "–" if label.average_precision is None else f"{label.average_precision:.3f}"
        figures = (f"{value:.3f}" for value in (label.precision, label.recall, label.f1))
        table.add_row(
            escape(label.name), str(label.support), str(label.predicted), *figures, ap, f"{label.threshold:.3f}"
        )
    return table
