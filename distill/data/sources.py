"""The input of `predict`: one row, a file of rows, or a folder of images or Parquet files.

A row that cannot be read becomes a FailedRow, so that the others still get their predictions; a training set with
such a row is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from distill.core.errors import DataError
from distill.core.files import sha256_of
from distill.core.inputs import bounded_lines, open_input
from distill.core.untrusted import is_file, parse_json, replace_surrogates, short_repr
from distill.data import parquet
from distill.data.checks import content_hash
from distill.data.dataset import MAX_TEXT, SUFFIXES, Example, parse_example, read_rows

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class FailedRow:
    """A row that cannot be read: its id, or its number if it has none, and the error. Both can be encoded as
    UTF-8."""

    id: str
    error: str

    def __post_init__(self) -> None:
        for name in ("id", "error"):  # a file name may hold bytes that are not text
            object.__setattr__(self, name, replace_surrogates(getattr(self, name)))


@dataclass(frozen=True)
class InMemoryExample:
    """An example whose image is in memory, opened or as the bytes of a file; errors call the image `name`."""

    id: str
    text: str
    image: bytes | Image.Image
    name: str


Item = Example | InMemoryExample | FailedRow


@dataclass(frozen=True)
class Source:
    """The input of predict. `kind` says what its `files` are, in order:

    "single"       no files: the one example `row`
    "json_or_csv"  a JSON list or CSV, which can be read from the start only
    "jsonl"        JSON Lines
    "parquet"      Parquet files
    "images"       images, each with its text in NAME.txt beside it
    """

    kind: Literal["single", "json_or_csv", "jsonl", "parquet", "images"]
    path: Path
    files: tuple[Path, ...]
    row: Example | None = None

    @classmethod
    def open(cls, path: Path) -> Source:
        """The source at `path`, by its suffix or by the content of a folder. Raises DataError for any other; a file
        is not opened before its items are read."""
        if path.is_dir():
            return cls._of_folder(path)
        if path.suffix == parquet.SUFFIX:
            return cls("parquet", path, (path,))
        if path.suffix in SUFFIXES:
            return cls("jsonl" if path.suffix == ".jsonl" else "json_or_csv", path, (path,))
        suffixes = ", ".join((*SUFFIXES, parquet.SUFFIX))
        raise DataError(f"{path}: give a folder of images or a file ending in {suffixes}")

    @classmethod
    def of(cls, row: Example) -> Source:
        """The source of one example."""
        return cls("single", row.image if isinstance(row.image, Path) else Path(row.id), (), row)

    @classmethod
    def _of_folder(cls, folder: Path) -> Source:
        try:
            names = sorted(folder.iterdir())
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
        # A file that has an image's suffix but is not one becomes a FailedRow: it is not skipped.
        images = tuple(path for path in names if path.suffix.lower() in IMAGE_SUFFIXES)
        tables = tuple(path for path in names if path.suffix == parquet.SUFFIX)
        if tables and images:
            raise DataError(f"{folder}: holds {tables[0].name} and {images[0].name}; give a folder of one kind")
        if not tables and not images:
            raise DataError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        return cls("parquet", folder, tables) if tables else cls("images", folder, images)

    def items(self) -> Iterator[Item]:
        """Every row, as an example or a FailedRow. Raises DataError if the source itself cannot be read."""
        if self.row is not None:
            yield self.row
        elif self.kind == "images":
            yield from map(example_of_image, self.files)
        else:
            read = table_rows if self.kind == "parquet" else _rows
            for path in self.files:
                yield from read(path)

    def count(self) -> int | None:
        """The number of items, None if it is not cheap to know."""
        if self.kind == "parquet":
            return sum(parquet.describe(path).rows for path in self.files)
        if self.kind == "jsonl" and self.path.is_file():
            with open_input(self.path, DataError) as handle:
                return sum(1 for line in bounded_lines(handle, self.path, DataError) if line.strip())
        return {"images": len(self.files), "single": 1}.get(self.kind)

    def digest(self) -> str:
        """Hex SHA-256 that changes with the input: of a file's content, of a folder's file names and sizes, or of
        one example's text and image. Raises DataError and ImageError."""
        if self.row is not None:
            return content_hash(self.row)
        if self.path.is_file():
            return sha256_of(self.path)
        if not self.path.is_dir():
            return secrets.token_hex()  # a pipe cannot be read twice, so it never equals another input
        texts = {image.with_suffix(".txt") for image in self.files} if self.kind == "images" else set()
        files = [path for path in (*self.files, *sorted(texts)) if is_file(path)]
        entries = sorted((path.name, path.stat().st_size) for path in files)
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def table_rows(path: Path, first: int = 0, count: int | None = None) -> Iterator[Item]:
    """`count` rows of a Parquet file after the first `first`. Images are file names, bytes, or the {"bytes",
    "path"} of Hugging Face datasets. Raises DataError if the file cannot be read."""
    for number, row in parquet.iter_rows(path, first, count):
        try:
            name, content = _name_and_bytes(row.get("image"), f"{path}: row {number}")
        except DataError as error:
            yield FailedRow(_name(row, number), str(error))
            continue
        # A row with image bytes is validated like any other, under a placeholder for the image's file name.
        item = _item(row | {"image": name if content is None else "image"}, path, number)
        if isinstance(item, Example) and content is not None:
            yield InMemoryExample(item.id, item.text, content, f"{path}: row {number}: image")
        else:
            yield item


def _name_and_bytes(image: Any, where: str) -> tuple[Any, bytes | None]:
    """The file name of a row's image, and its bytes if the row holds them. Raises DataError."""
    if isinstance(image, bytes):
        return None, image
    if not isinstance(image, dict):
        return image, None
    if "bytes" not in image and "path" not in image:
        raise DataError(f"{where}: image must hold 'bytes' or 'path'; it holds {short_repr(list(image))}")
    content = image.get("bytes")
    if not isinstance(content, bytes | None):
        raise DataError(f"{where}: the 'bytes' of image must be binary; got {short_repr(content)}")
    return image.get("path"), content


def _rows(source: Path) -> Iterator[Example | FailedRow]:
    if source.suffix == ".jsonl":
        try:
            with open_input(source, DataError) as handle:
                yield from json_lines(bounded_lines(handle, source, DataError), source)
        except OSError as error:
            raise DataError(f"{source}: cannot be read: {error.strerror}") from error
    else:
        for number, row in read_rows(source):
            yield _item(row, source, number)


def json_lines(lines: Iterable[bytes], source: Path, first: int = 1) -> Iterator[Example | FailedRow]:
    """Examples of JSON Lines, numbered from `first`; a line that is not valid JSON becomes a FailedRow."""
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{source}: row {number}", DataError)
        except DataError as error:
            yield FailedRow(f"row {number}", str(error))
        else:
            yield _item(row, source, number)


def _item(row: Any, source: Path, number: int) -> Example | FailedRow:
    try:
        return parse_example(row, source, number)
    except DataError as error:
        return FailedRow(_name(row, number), str(error))


def _name(row: Any, number: int) -> str:
    id_ = row.get("id") if isinstance(row, dict) else None
    valid = isinstance(id_, str | int) and not isinstance(id_, bool) and id_ != ""
    return str(id_) if valid else f"row {number}"


def example_of_image(path: Path) -> Example | FailedRow:
    """The example of an image in a folder, with the text beside it."""
    try:
        return Example(replace_surrogates(path.name), _text_beside(path), path, ())
    except DataError as error:
        return FailedRow(path.name, str(error))


def _text_beside(image: Path) -> str:
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
