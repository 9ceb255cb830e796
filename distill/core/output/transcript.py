"""train.log: everything that a training printed, in its run's folder, written as the training goes on.

What is printed before the folder is claimed is kept until then. A resumed training appends. Progress bars are left
out.
"""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar, cast

from distill import __version__
from distill.core.errors import DistillError

P = ParamSpec("P")
T = TypeVar("T")

TRAIN_LOG = "train.log"


class Transcript:
    """What is printed while it is the current one: in memory until it is opened, in its file from then on."""

    def __init__(self) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        self.kept = [f"# {now}, distill {__version__}, Python {platform.python_version()}: {command}\n"]
        self.file: TextIO | None = None
        self.is_closed = False

    def write(self, text: str) -> None:
        """Add what was printed. A file that cannot be written is given up, as printing must not end a training."""
        if self.is_closed:
            return
        if self.file is None:
            self.kept.append(text)
            return
        try:
            self.file.write(text)
            self.file.flush()
        except (OSError, ValueError):
            self.close()

    def open(self, path: Path) -> None:
        """Append to the file from now on, what was printed so far first."""
        if self.file is not None or self.is_closed:
            return
        try:
            self.file = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError:
            self.is_closed = True
            return
        self.write("".join(self.kept))
        self.kept.clear()

    def close(self) -> None:
        """Write no more."""
        self.is_closed = True
        if self.file is not None:
            try:
                self.file.close()
            except OSError:  # the disk is full, and this was the rest
                self.file = None


class Tee:
    """A text stream whose text goes to the transcript, too. rich, whose consoles write there by themselves, finds
    the stream below."""

    def __init__(self, stream: TextIO, transcript: Transcript) -> None:
        self.stream = stream
        self.rich_proxied_file = getattr(stream, "rich_proxied_file", stream)
        self.transcript = transcript

    def write(self, text: str) -> int:
        """Write the text to both."""
        self.transcript.write(text)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_current: Transcript | None = None


def current() -> Transcript | None:
    """The transcript that is being written, if any."""
    return _current


@contextmanager
def recording() -> Iterator[None]:
    """Keep what is printed in the block, and the error that ends it, until `open_transcript` gives it a file. A
    block inside another one belongs to it."""
    global _current
    if _current is not None:
        yield
        return
    transcript = _current = Transcript()
    before = sys.stdout, sys.stderr
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, Tee(sys.stderr, transcript))
    try:
        yield
    except BaseException as error:
        transcript.write(_describe(error))
        raise
    finally:
        sys.stderr = before[1]
        _current = None
        transcript.close()


def recorded(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that trains: what it prints is kept for the run that it writes."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with recording():
            return function(*args, **kwargs)

    return wrapper


def open_transcript(folder: Path) -> None:
    """Write what is being recorded to the folder's train.log from now on."""
    if _current is not None:
        _current.open(folder / TRAIN_LOG)


def close_transcript() -> None:
    """Write no more of what is being recorded, so that its file may be removed."""
    if _current is not None:
        _current.close()


def _describe(error: BaseException) -> str:
    if isinstance(error, DistillError):
        return f"error: {error}\n"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted\n"
    return "".join(traceback.format_exception(error))
