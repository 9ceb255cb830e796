"""Opens what users name as input: plain files alone, read no further than a limit."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr, BinaryIO

from distill.core.errors import DistillError

MAX_JSON = 1 << 30  # bytes of a JSON file, which is read whole
MAX_LINE = 1 << 27  # bytes of one line of rows, with an image in base64


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file, or a link to one, for reading. Raises OSError for anything else as well: a device never
    ends, and a pipe may never begin."""
    # Without O_NONBLOCK, opening a pipe waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise OSError(errno.EINVAL, f"is {what}, not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def open_input(path: Path, error: type[DistillError]) -> BinaryIO:
    """As `open_plain`, with every fault as an `error` of one line."""
    try:
        return open_plain(path)
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file") from cause
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause


def read_input(path: Path, limit: int, error: type[DistillError], links: bool = True) -> bytes:
    """The content of a plain file of at most `limit` bytes; no more is read of a larger one. Raises `error`, and
    without `links` for a symbolic link too."""
    if not links and path.is_symlink():
        raise error(f"{path}: is not a plain file but a link; copy it again")
    with open_input(path, error) as handle:
        try:
            content = handle.read(limit + 1)
        except OSError as cause:
            raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    if len(content) > limit:
        raise error(f"{path}: has more than {limit:,} bytes, the limit for such a file")
    return content


def bounded_lines(handle: IO[AnyStr], path: Path, error: type[DistillError]) -> Iterator[AnyStr]:
    """The lines of an opened file. Raises `error` for one of more than MAX_LINE characters."""
    number = 0
    while line := handle.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise error(f"{path}: line {number} has more than {MAX_LINE:,} characters; shorten it")
        yield line
