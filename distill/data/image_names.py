"""What a row's image may be named by: a file, an image in the row itself (a data: URL), or a place on the web."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import is_file, short_repr

IMAGE_FOLDERS = ("", "images")
MAX_NAME = 255  # characters of a file's name
MAX_PATH = 4096  # characters
WEB = re.compile(r"(https?|ftp|s3|gs):/", re.IGNORECASE)
DATA_URL = re.compile(r"data:image/[\w.+*-]+(;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)


def is_data_url(name: str) -> bool:
    """Whether the name is, or means to be, an image itself."""
    return name[:5].lower() == "data:"


def is_on_web(name: str) -> bool:
    """Whether the name is an address, from which nothing is ever fetched."""
    return WEB.match(name) is not None


def from_data_url(url: str, where: str) -> bytes:
    """The content of the image file in data:image/TYPE;base64,CONTENT. Raises DataError; `where` is the row."""
    match = DATA_URL.match(url)
    if match is None:
        raise DataError(
            f"{where}: image is {short_repr(url)}; a data: URL must begin with data:image/TYPE;base64, such as "
            "data:image/png;base64,"
        )
    try:
        content = base64.b64decode("".join(url[match.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: the data: URL of image is not base64: {error}") from error
    if not content:
        raise DataError(f"{where}: the data: URL of image is empty")
    return content


def to_data_url(content: bytes) -> str:
    """An image file's content as a data: URL. Its type is not named: images are opened by their content."""
    return f"data:image/*;base64,{base64.b64encode(content).decode('ascii')}"


def find_image(path: Path, name: str, where: str) -> Path | bytes:
    """The image that a row of the file `path` names: a file beside it, in images/ or in the folder named like the
    file, or the content of a data: URL. Raises DataError for a name that no file can have."""
    if is_data_url(name):
        return from_data_url(name, where)
    if is_on_web(name):
        raise DataError(f"{where}: image is {short_repr(name)}, and nothing is downloaded; save it to a file")
    if "\0" in name:
        raise DataError(f"{where}: image name {short_repr(name)} holds a NUL character")
    if len(name) > MAX_PATH or any(len(part) > MAX_NAME for part in name.split("/")):
        raise DataError(
            f"{where}: image is {short_repr(name)}, {len(name):,} characters, which is no file's name; give an "
            "image in base64 as data:image/png;base64,..."
        )
    candidates = [path.parent / folder / name for folder in (*IMAGE_FOLDERS, path.stem)]
    # `check_splits` reports missing images, all of them at once.
    return next((candidate for candidate in candidates if is_file(candidate)), candidates[0])
