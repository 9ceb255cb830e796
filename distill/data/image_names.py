"""What a row's image may be named by: a file, an image in the row itself (a data: URL), or a place on the web."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import is_file, short_repr

IMAGE_FOLDERS = ("", "images")
MAX_NAME = 255  # characters of a name that may be that of a missing file; a longer one is something else
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
    return open_name(name, [path.parent / folder for folder in (*IMAGE_FOLDERS, path.stem)], where)


def open_name(name: str, folders: Sequence[Path], where: str) -> Path | bytes:
    """The content of a data: URL, or the file of that name in the first of the folders that has it, else in the
    first. Raises DataError as `find_image`; other missing files are reported later, all of them at once."""
    if is_data_url(name):
        return from_data_url(name, where)
    if is_on_web(name):
        raise DataError(f"{where}: image is {short_repr(name)}, and nothing is downloaded; save it to a file")
    if "\0" in name:
        raise DataError(f"{where}: image name {short_repr(name)} holds a NUL character")
    candidates = [folder / name for folder in folders]
    present = next((candidate for candidate in candidates if is_file(candidate)), None)
    if present is None and len(name) > MAX_NAME:
        raise DataError(
            f"{where}: image is {short_repr(name)}, {len(name):,} characters, which names no file; give an image "
            "in base64 as data:image/png;base64,..."
        )
    return present or candidates[0]
