"""Opens text files by their encoding: UTF-8 with and without a byte order mark, UTF-16 with one, Windows-1252."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from distill.core.errors import DataError
from distill.core.inputs import bounded_lines, open_input

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
    """The same, or cp1252, in which Excel saves, for a file that is not UTF-8. Raises DataError."""
    encoding = encoding_of(path)
    return "cp1252" if encoding == "utf-8-sig" and not _decodes(path) else encoding


def _decodes(path: Path) -> bool:
    with open_input(path, DataError) as handle:
        try:
            for line in bounded_lines(handle, path, DataError):
                line.decode("utf-8")
        except UnicodeDecodeError:
            return False
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return True


def open_text(path: Path, encoding: str, newline: str | None = None) -> io.TextIOWrapper:
    """A plain file as text. Raises DataError."""
    return io.TextIOWrapper(open_input(path, DataError), encoding=encoding, newline=newline)
