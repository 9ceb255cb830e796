"""What people see while they wait and when it is done. Knows rich; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
