"""Standard output and standard error that may be closed, full or a broken pipe.

What cannot be printed is no reason to lose work: tables are dropped, and the command says so at its end. Lines of
`distill predict` are its work; they stop it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

OUTPUT = "standard output"


def open_standard_streams() -> None:
    """Replace sys.stdout and sys.stderr, and open the descriptors that are closed: the next file to be opened would
    get their numbers, and what is printed would go into it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest free number is this one; only reading, so that writing stays an error
            os.open(os.devnull, os.O_RDONLY)
    if os.name != "posix":  # on Windows, a console takes text by another way than bytes
        return
    sys.stdout = StandardOutput(io.BufferedWriter(_NamedFile(1, "w", closefd=False)), **_settings(sys.stdout, 1))
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(_SilentFile(2, "w", closefd=False)), **_settings(sys.stderr, 2))


def output_failure() -> OSError | None:
    """Why something could not be printed to standard output; None if all of it was."""
    sys.stdout.flush()
    return sys.stdout.failure if isinstance(sys.stdout, StandardOutput) else None


class StandardOutput(io.TextIOWrapper):
    """Text that keeps its first error in `failure` and drops what follows; its `buffer` raises each."""

    failure: OSError | None = None

    def write(self, text: str, /) -> int:
        """As of any text file."""
        try:
            return super().write(text) if self.failure is None else len(text)
        except OSError as error:
            self.failure = error
            return len(text)

    def flush(self) -> None:
        """As of any text file."""
        try:
            if self.failure is None:
                super().flush()
        except OSError as error:
            self.failure = error


class _NamedFile(io.FileIO):
    """Standard output, whose errors name it."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except OSError as error:
            reason = "is closed" if error.errno == errno.EBADF else str(error.strerror)
            raise OSError(error.errno, reason, OUTPUT) from error


class _SilentFile(io.FileIO):
    """Standard error: where it cannot be written, nothing can be said."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


def _settings(stream: TextIO | None, descriptor: int) -> dict[str, Any]:
    encoding, errors = getattr(stream, "encoding", None), getattr(stream, "errors", None)
    line_buffering = descriptor == 2 or os.isatty(descriptor)
    return {"encoding": encoding or "utf-8", "errors": errors or "strict", "line_buffering": line_buffering}
