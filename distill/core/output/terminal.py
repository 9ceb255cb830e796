"""Progress bars, notes and warnings on standard error, and results on standard output.

All of it passes one filter (`distill.core.output.printable`), so that no name from a file commands the terminal:
consoles filter what they draw, and the command line's streams (`distill.core.output.streams`) everything else.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.control import Control
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from distill.core.output import transcript
from distill.core.output.printable import printable, printable_line
from distill.core.output.volume import restored_volume, volume

T = TypeVar("T")

UPDATE_S = 0.1  # between two updates of a progress bar
PIPE_WIDTH = 120  # columns of a table that goes to a pipe or a file


class PrintableConsole(Console):
    """A console that shows text as it is: no markup, no emoji codes, and escapes for what is not printable."""

    def __init__(self, stderr: bool, width: int | None = None, file: IO[str] | None = None) -> None:
        super().__init__(stderr=stderr, width=width, file=file, markup=False, emoji=False, highlight=False)
        self._held: list[Any] | None = None

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, and keep it in the log of a training; what a progress bar draws is not for a log. Nothing of that
        where it is quiet; on standard output, nothing is printed where a command prints JSON in place of tables."""
        if self.quiet:
            return
        if self._held is not None:
            self._held.append((objects, options))
            return
        log = transcript.current()
        if log is not None and not any(isinstance(thing, Control) for thing in objects):
            log.write(to_text(*objects, **options))
        if self.stderr or volume.tables:
            super().print(*objects, **options)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Print nothing before the end of the block, where all is written that there is to write."""
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
            for objects, options in held:
                self.print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Filtered before it is measured, so that tables have room for the escapes."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Filtered again as it is drawn, for what was never a str; only rich itself makes control segments."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def to_text(*objects: Any, **options: Any) -> str:
    """What printing gives in a file: without colours, tables PIPE_WIDTH wide."""
    buffer = io.StringIO()
    plain = PrintableConsole(stderr=False, width=PIPE_WIDTH, file=buffer)
    Console.print(plain, *objects, **options | {"style": None})
    return buffer.getvalue()


def _console(stderr: bool) -> PrintableConsole:
    console = PrintableConsole(stderr)
    return console if console.is_terminal else PrintableConsole(stderr, PIPE_WIDTH)


console = _console(stderr=True)  # progress, notes and warnings
output = _console(stderr=False)  # results


def track(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """Yield the items under a progress bar on standard error; `total=None` shows a count alone."""
    if not shows_progress():
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task, shown = progress.add_task(what, total=total), 0.0
        for done, item in enumerate(items, 1):
            yield item
            if (now := time.monotonic()) > shown + UPDATE_S:  # an update takes longer than many an item
                progress.update(task, completed=done)
                shown = now


def shows_progress() -> bool:
    """Whether progress bars are drawn: on a terminal, unless only warnings and errors are asked for."""
    return console.is_terminal and volume.notes


def note(text: str) -> None:
    """Print one line of progress to standard error."""
    if volume.notes:
        clock = "" if volume.started_s is None else f"[{time.perf_counter() - volume.started_s:8.1f} s] "
        console.print(clock + printable_line(text), soft_wrap=True)


def warn(text: str) -> None:
    """Print one warning to standard error."""
    console.print(printable_line(f"warning: {text}"), style="yellow", soft_wrap=True)


@contextmanager
def silence() -> Iterator[None]:
    """Print nothing in the block, nor log it, such as what a rehearsal says of a few rows."""
    quiet = console.quiet, output.quiet
    with restored_volume():
        volume.notes = volume.tables = False
        console.quiet = output.quiet = True
        try:
            yield
        finally:
            console.quiet, output.quiet = quiet
