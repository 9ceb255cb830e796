"""Standard output and error that can write any character. Imports nothing slow: every command line begins here."""

from __future__ import annotations

import io
import sys
from contextlib import suppress


def escape_unencodable() -> None:
    """Write characters that standard output or error cannot encode as escapes: a table must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what another program has put in its place
            with suppress(OSError, ValueError):  # it is closed, or cannot be written anyway
                stream.reconfigure(errors="backslashreplace")
