"""The filter under all that the command line prints: errors, usage, warnings, logs, and what libraries print.

Imports nothing slow: every command line begins here.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from distill.core.output.printable import printable


class PrintableStream:
    """A text stream that escapes what is not printable. rich, which filters for itself, writes to the stream below;
    so may whoever asks for `buffer`, which is hidden unless `binary`: click would write errors to it."""

    def __init__(self, stream: TextIO, binary: bool) -> None:
        self.rich_proxied_file = stream
        self.binary = binary

    def write(self, text: str) -> int:
        """Write the text, filtered."""
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the lines, filtered."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer" and not self.binary:
            raise AttributeError(name)
        return getattr(self.rich_proxied_file, name)


@contextmanager
def printable_streams() -> Iterator[None]:
    """Filter whatever is written to sys.stdout and sys.stderr in the block, and escape what they cannot encode: a
    table must not end a command."""
    escape_unencodable()
    before = sys.stdout, sys.stderr
    if sys.stdout is not None:  # a process may have neither
        sys.stdout = cast(TextIO, PrintableStream(sys.stdout, binary=True))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, PrintableStream(sys.stderr, binary=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def escape_unencodable() -> None:
    """Write characters that standard output or error cannot encode as escapes, from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what another program has put in its place
            with suppress(OSError, ValueError):  # it is closed, or cannot be written anyway
                stream.reconfigure(errors="backslashreplace")
