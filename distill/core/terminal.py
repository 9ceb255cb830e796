"""Progress bars, notes and warnings on standard error, and results on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

PIPE_WIDTH = 120  # columns of a table that goes to a pipe or a file


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)


console = _console(stderr=True)  # progress, notes and warnings
output = _console(stderr=False)  # results


def track(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """Yield the items under a progress bar on standard error; `total=None` shows a count alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)


def note(text: str) -> None:
    """Print one line of progress to standard error."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print one warning to standard error."""
    console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
