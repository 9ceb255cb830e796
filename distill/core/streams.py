"""The filter under all that the command line prints: errors, usage, warnings, logs, and what libraries print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from distill.core.printable import printable


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
    """Filter whatever is written to sys.stdout and sys.stderr in the block."""
    before = sys.stdout, sys.stderr
    if sys.stdout is not None:  # a process may have neither
        sys.stdout = cast(TextIO, PrintableStream(sys.stdout, binary=True))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, PrintableStream(sys.stderr, binary=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
