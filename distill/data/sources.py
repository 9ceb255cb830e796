"""What `predict` is given: a file of rows or a folder of images. Knows rows, no models.

Unlike a training set, which is refused whole, a row that cannot be read is passed on as a fault, so that
the others still get their answers.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import is_file, parse_json, printable, shown
from distill.data import parquet
from distill.data.dataset import MAX_TEXT, SUFFIXES, Example, read_rows, to_example

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Fault:
    """A row that is no Example: its id, or the row's number when it has none. Both can be printed."""

    id: str
    error: str

    def __post_init__(self) -> None:
        for name in ("id", "error"):  # a file's name may hold bytes that are no text
            object.__setattr__(self, name, printable(getattr(self, name)))


@dataclass(frozen=True)
class Post:
    """A row that brought its image along; `name` is what an error calls it."""

    id: str
    text: str
    image: bytes
    name: str


Item = Example | Post | Fault


def read_items(source: Path) -> Iterator[Item]:
    """Rows of a JSON, JSONL, CSV or Parquet file, those of a folder of Parquet files, or the images of a folder
    with their text in NAME.txt beside them; files sorted by name. Raises DataError when `source` itself cannot be
    read."""
    if tables := table_files(source):
        for path in tables:
            yield from table_rows(path)
    elif source.is_dir():
        yield from map(example_of_image, image_files(source))
    elif source.suffix in SUFFIXES:
        yield from _rows(source)
    else:
        raise DataError(
            f"{source}: give a folder of images or a file ending in {', '.join((*SUFFIXES, parquet.SUFFIX))}"
        )


def count_items(source: Path) -> int | None:
    """How many there will be, where that is cheap to know: for the progress bar."""
    if tables := table_files(source):
        return sum(parquet.describe(path).rows for path in tables)
    if source.is_dir():
        return len(_images(source))
    if source.suffix == ".jsonl" and source.is_file():
        with source.open("rb") as handle:
            return sum(1 for line in handle if line.strip())
    return None


def files_read(folder: Path) -> list[Path]:
    """What `read_items` opens of a folder. Raises DataError."""
    if tables := table_files(folder):
        return tables
    images = image_files(folder)
    texts = {image.with_suffix(".txt") for image in images}
    return [path for path in (*images, *sorted(texts)) if is_file(path)]


def table_files(source: Path) -> list[Path]:
    """A Parquet file, or those of a folder, sorted by name; none for any other source. Raises DataError."""
    if not source.is_dir():
        return [source] if source.suffix == parquet.SUFFIX else []
    tables = sorted(source.glob(f"*{parquet.SUFFIX}"))
    if tables and (images := _images(source)):
        raise DataError(f"{source}: holds {tables[0].name} and {images[0].name}; give a folder of one kind")
    return tables


def table_rows(path: Path, first: int = 0, count: int | None = None) -> Iterator[Item]:
    """Rows of one Parquet file; images by name, as bytes, or as Hugging Face's datasets hold them."""
    for number, row in parquet.read_table(path, first, count):
        try:
            name, content = _name_and_bytes(row.get("image"), f"{path}: row {number}")
        except DataError as error:
            yield Fault(_name(row, number), str(error))
            continue
        # Under some name, a row that brings its image is checked like any other.
        item = _item(row | {"image": name if content is None else "image"}, path, number)
        if isinstance(item, Example) and content is not None:
            yield Post(item.id, item.text, content, f"{path}: row {number}: image")
        else:
            yield item


def _name_and_bytes(image: Any, where: str) -> tuple[Any, bytes | None]:
    """What a row's image is called, and itself where the row brings it. Raises DataError."""
    if isinstance(image, bytes):
        return None, image
    if not isinstance(image, dict):
        return image, None
    if "bytes" not in image and "path" not in image:
        raise DataError(f"{where}: image must hold 'bytes' or 'path'; it holds {shown(list(image))}")
    content = image.get("bytes")
    if not isinstance(content, bytes | None):
        raise DataError(f"{where}: the 'bytes' of image must be binary; got {shown(content)}")
    return image.get("path"), content


def _rows(source: Path) -> Iterator[Example | Fault]:
    if source.suffix == ".jsonl":
        try:
            with source.open("rb") as handle:
                yield from json_lines(handle, source)
        except OSError as error:
            raise DataError(f"{source}: cannot be read: {error.strerror}") from error
    else:
        for number, row in read_rows(source):
            yield _item(row, source, number)


def json_lines(lines: Iterable[bytes], source: Path, first: int = 1) -> Iterator[Example | Fault]:
    """Lines of JSON, of which the one numbered `first` comes first; one that is no JSON is a Fault."""
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{source}: row {number}", DataError)
        except DataError as error:
            yield Fault(f"row {number}", str(error))
        else:
            yield _item(row, source, number)


def _item(row: Any, source: Path, number: int) -> Example | Fault:
    try:
        return to_example(row, source, number)
    except DataError as error:
        return Fault(_name(row, number), str(error))


def _name(row: Any, number: int) -> str:
    id_ = row.get("id") if isinstance(row, dict) else None
    named = isinstance(id_, str | int) and not isinstance(id_, bool) and id_ != ""
    return str(id_) if named else f"row {number}"


def example_of_image(path: Path) -> Example | Fault:
    """An image of a folder, with its text."""
    try:
        return Example(printable(path.name), _text_beside(path), path, ())
    except DataError as error:
        return Fault(path.name, str(error))


def _text_beside(image: Path) -> str:
    """What NAME.txt says, "" when there is none. Raises DataError where there is one that cannot be used."""
    path = image.with_suffix(".txt")
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise DataError(f"{path}: is not a plain file")
        if kind.st_size > 4 * MAX_TEXT:
            raise DataError(f"{path}: has {kind.st_size:,} bytes, over the limit of {4 * MAX_TEXT:,}; cut it")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text: {error}") from error


def image_files(folder: Path) -> list[Path]:
    """Whatever is named like an image: what is none of it gets a line that says so, and is not passed over. Raises
    DataError where there is nothing of the kind."""
    files = _images(folder)
    if not files:
        raise DataError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return files


def _images(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
