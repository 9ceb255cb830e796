"""What a row's image may be named by: a file, an image in the row itself (a data: URL), or a place on the web."""

from __future__ import annotations

import base64
import binascii
import filecmp
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PureWindowsPath

from distill.core.errors import DataError
from distill.core.untrusted import is_file, short_repr

IMAGE_FOLDERS = ("", "images")
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif"),  # with the extra [heic]; without it each is reported
)
MAX_NAME = 255  # characters of a name that may be that of a missing file; a longer one is something else
MAX_PATH = 4096  # characters
MAX_TAIL = 4  # parts of a path
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


def find_image(
    path: Path, name: str, where: str, folders: Sequence[Path] = (), said: Path | None = None
) -> Path | bytes:
    """The image that a row of the file `path` names: a file in the folder that is `said`, in one of the `folders`,
    beside it, in images/ or in the folder named like the file, or the content of a data: URL. In the folder that is
    said, it may also lie under the last parts of its name, where that is a path of another machine. Raises
    DataError for a name that no file can have, and for one that two different files beside the rows have."""
    beside = [path.parent / folder for folder in (*IMAGE_FOLDERS, path.stem)]
    others = [] if said is None or len(name) > MAX_PATH else [said / tail for tail in _tails(name)]
    image = open_name(name, [*([said] if said else []), *folders, *beside], where, others)
    if isinstance(image, Path) and said is None:
        _refuse_another(image, [folder / name for folder in beside], where)
    return image


def _refuse_another(image: Path, candidates: Sequence[Path], where: str) -> None:
    """Raise DataError if the image is one of the candidates, and another of them is a file of other content."""
    if image not in candidates:  # where its published form has it
        return
    for other in candidates:
        if other != image and is_file(other) and not _are_equal(image, other):
            raise DataError(
                f"{where}: image may be {image} or {other}, which differ; name it with its folder, "
                "keep one of the two, or give --images FOLDER"
            )


def _are_equal(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:  # reported when the image is opened
        return True


def file_stem(name: str) -> str:
    """The name of a file without its folders and suffix."""
    return (PureWindowsPath(name) if "\\" in name else Path(name)).stem


def _tails(name: str) -> list[str]:
    """The last parts of a path, also of one of Windows: most of them first."""
    parts = [part for part in PureWindowsPath(name).parts if not part.endswith(("\\", "/", ".."))]
    return ["/".join(parts[-count:]) for count in range(min(len(parts), MAX_TAIL), 0, -1)]


def open_name(name: str, folders: Sequence[Path], where: str, others: Sequence[Path] = ()) -> Path | bytes:
    """The content of a data: URL, or the file of that name in the first of the folders that has it, or the first of
    the `others`, also without its suffix, in other case or with Windows' \\, else that in the first folder. Raises
    DataError as `find_image`; other missing files are reported later, all of them at once."""
    if is_data_url(name):
        return from_data_url(name, where)
    if is_on_web(name):
        raise DataError(f"{where}: image is {short_repr(name)}, and nothing is downloaded; save it to a file")
    if "\0" in name:
        raise DataError(f"{where}: image name {short_repr(name)} holds a NUL character")
    names = (name, name.replace("\\", "/")) if "\\" in name else (name,)
    candidates = [*(folder / each for each in names for folder in folders), *others]
    present = next((candidate for candidate in candidates if is_file(candidate)), None)
    if present is None and len(name) > MAX_NAME:
        raise DataError(
            f"{where}: image is {short_repr(name)}, {len(name):,} characters, which names no file; give an image "
            "in base64 as data:image/png;base64,..."
        )
    return present or _alike(candidates, where) or candidates[0]


def _alike(candidates: Sequence[Path], where: str) -> Path | None:
    """The file that one of the candidates means without its suffix or in other case, None if there is none. Raises
    DataError for two."""
    for candidate in candidates:
        try:
            listing = _listing(candidate.parent, candidate.parent.stat().st_mtime_ns)
        except OSError:
            continue
        names = listing.get(candidate.name.casefold(), ())
        if len(names) > 1:
            raise DataError(
                f"{where}: image {short_repr(candidate.name)} could be {' or '.join(map(short_repr, names[:3]))}; "
                "write its whole name"
            )
        if names:
            return candidate.with_name(names[0])
    return None


@lru_cache(maxsize=16)
def _listing(folder: Path, changed_ns: int) -> dict[str, tuple[str, ...]]:
    """The images of a folder by their names in lower case, with and without their suffixes."""
    listing: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            for key in {path.name.casefold(), path.stem.casefold()}:
                listing[key] = (*listing.get(key, ()), path.name)
    return listing
