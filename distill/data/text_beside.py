"""The text of an image in a folder: NAME.txt beside it."""

from __future__ import annotations

import stat
from pathlib import Path

from distill.core.errors import DataError
from distill.data.examples import MAX_TEXT


def text_beside(image: Path) -> str:
    """The content of NAME.txt, "" if there is none. Raises DataError if it cannot be read."""
    path = image.with_suffix(".txt")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: is not a plain file")
        if status.st_size > 4 * MAX_TEXT:
            raise DataError(f"{path}: has {status.st_size:,} bytes, over the limit of {4 * MAX_TEXT:,}; shorten it")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error
