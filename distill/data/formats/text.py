"""Opens text files by their encoding: UTF-8 with and without a byte order mark, UTF-16 with one, Windows-1252."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from distill.core.errors import DataError
from distill.core.storage.inputs import bounded_lines, open_input
from distill.core.untrusted import short_repr

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def head(path: Path, size: int) -> bytes:
    """The first bytes of a plain file. Raises DataError."""
    with open_input(path, DataError) as handle:
        try:
            return handle.read(size)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def encoding_of(path: Path) -> str:
    """utf-16 by its byte order mark, else utf-8-sig, whether the file is UTF-8 or not. Raises DataError."""
    return "utf-16" if head(path, 2) in UTF_16 else "utf-8-sig"


def table_encoding(path: Path) -> str:
    """The same, or cp1252, in which Excel saves, for a file that is not UTF-8. Raises DataError, also where some
    lines are UTF-8 and others are not."""
    encoding = encoding_of(path)
    return "cp1252" if encoding == "utf-8-sig" and not _decodes(path) else encoding


def _decodes(path: Path) -> bool:
    """Whether all lines are UTF-8. Raises DataError where some are not, and others are and not only ASCII: letters
    of Windows-1252 are hardly ever UTF-8 by chance."""
    known, broken, first = 0, 0, ""
    with open_input(path, DataError) as handle:
        try:
            for number, line in enumerate(bounded_lines(handle, path, DataError), 1):
                if line.isascii():
                    continue
                try:
                    line.decode("utf-8")
                    known += number > 1 or not line.startswith(codecs.BOM_UTF8)
                except UnicodeDecodeError as error:
                    broken += 1
                    first = first or f"line {number}: byte 0x{line[error.start]:02x} after {_before(line, error)}"
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if broken and broken <= 2 * known:
        raise DataError(
            f"{path}: {first} is not UTF-8, as {known} other lines are ({broken} {'is' if broken == 1 else 'are'} "
            "not); write the whole file as UTF-8"
        )
    return not broken


def _before(line: bytes, error: UnicodeDecodeError) -> str:
    return short_repr(line[max(0, error.start - 20) : error.start].decode("utf-8", "ignore"))


def open_text(path: Path, encoding: str, newline: str | None = None) -> io.TextIOWrapper:
    """A plain file as text. Raises DataError."""
    return io.TextIOWrapper(open_input(path, DataError), encoding=encoding, newline=newline)
