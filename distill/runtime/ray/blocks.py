"""A source cut into blocks that machines read by themselves. Knows rows and where they stand, no models and no Ray.

A block is a number of whole chunks of the source in order: `Predictor.stream` then puts the same rows in the
same batches as it does when it reads the source alone, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from distill.core.errors import DataError
from distill.data import parquet
from distill.data.dataset import Example
from distill.data.sources import Fault, Item, Source, example_of_image, json_lines, table_rows
from distill.runtime.predictor import CHUNK_SIZE

MANY = 1000  # blocks; where there would be more, they grow
MAX_CHUNKS = 16  # in a block: what a kill costs each worker stays within minutes


@dataclass(frozen=True)
class Lines:
    """Lines of a JSONL file: the first one's number and byte, and how many bytes they take."""

    source: Path
    first_line: int
    start: int
    size_bytes: int


@dataclass(frozen=True)
class Span:
    """`count` rows of a Parquet file behind its first `first`."""

    table: parquet.Table
    first: int
    count: int


@dataclass(frozen=True)
class Block:
    """`count` items of a source behind its first `first`. `content` is a hash that says whether they are those of
    another time; `rows` says where they stand, or is the items themselves where no such place can be named."""

    number: int
    first: int
    count: int
    content: str
    rows: Lines | tuple[Span, ...] | tuple[Path, ...] | tuple[Item, ...]


def cut(source: Source) -> list[Block]:
    """All blocks of a source, in order. JSONL is read once for its hashes, of Parquet the footers; CSV and JSON are
    read whole, for where a row begins in them only a reader from the start can say. Raises DataError."""
    paths = [path.absolute() for path in source.files]  # a worker's folder is another
    if source.kind == "tables":
        return list(_of_tables([parquet.describe(path) for path in paths]))
    if source.kind == "images":
        return list(_of_images(paths))
    if source.kind == "lines":
        return list(_of_lines(paths[0], block_rows(source.count() or 0)))
    return list(_of_items(list(replace(source, path=source.path.absolute(), files=tuple(paths)).items())))


def block_rows(total: int) -> int:
    """Rows in each block but the last, for so many rows in all."""
    return CHUNK_SIZE * min(max(1, total // (CHUNK_SIZE * MANY)), MAX_CHUNKS)


def items_of(block: Block) -> Iterator[Item]:
    """What stands in a block. Raises DataError when it is no longer what was cut."""
    if isinstance(block.rows, Lines):
        yield from _read_lines(block, block.rows)
        return
    for row in block.rows:
        if isinstance(row, Span):
            if parquet.describe(row.table.path) != row.table:
                raise DataError(f"{row.table.path}: was changed on the way; give the same command again")
            yield from table_rows(row.table.path, row.first, row.count)
        else:
            yield example_of_image(row) if isinstance(row, Path) else row


def _of_lines(source: Path, rows: int) -> Iterator[Block]:
    try:
        with source.open("rb") as handle:
            place = Lines(source, 1, 0, 0)
            for number in itertools.count():
                count, lines, content = _next_lines(handle, rows)
                if not count:
                    return
                place = replace(place, size_bytes=len(content))
                yield Block(number, number * rows, count, hashlib.sha256(content).hexdigest(), place)
                place = replace(place, first_line=place.first_line + lines, start=place.start + len(content))
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error


def _next_lines(handle: BinaryIO, rows: int) -> tuple[int, int, bytes]:
    """Up to `rows` lines that are not blank, and blank ones between: how many, of how many, their bytes."""
    found: list[bytes] = []
    count = 0
    while count < rows and (line := handle.readline()):
        found.append(line)
        count += bool(line.strip())
    return count, len(found), b"".join(found)


def _read_lines(block: Block, place: Lines) -> Iterator[Item]:
    try:
        with place.source.open("rb") as handle:
            handle.seek(place.start)
            content = handle.read(place.size_bytes)
    except OSError as error:
        raise DataError(f"{place.source}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != block.content:
        raise DataError(f"{place.source}: was changed on the way; give the same command again")
    yield from json_lines(io.BytesIO(content), place.source, place.first_line)


def _of_tables(tables: Sequence[parquet.Table]) -> Iterator[Block]:
    """Blocks go on from one file into the next, as chunks do where one process reads them all."""
    total = sum(table.rows for table in tables)
    rows = block_rows(total)
    for number, first in enumerate(range(0, total, rows)):
        stop, begin, spans = min(first + rows, total), 0, []
        for table in tables:
            low, high = max(first, begin), min(stop, begin + table.rows)
            if low < high:
                spans.append(Span(table, low - begin, high - low))
            begin += table.rows
        content = _hash((span.table.path.name, span.table.footer, span.first, span.count) for span in spans)
        yield Block(number, first, stop - first, content, tuple(spans))


def _of_images(paths: Sequence[Path]) -> Iterator[Block]:
    rows = block_rows(len(paths))
    for number, first in enumerate(range(0, len(paths), rows)):
        chosen = tuple(paths[first : first + rows])
        content = _hash((path.name, *_sizes(path)) for path in chosen)
        yield Block(number, first, len(chosen), content, chosen)


def _sizes(image: Path) -> list[int | None]:
    """Bytes of an image and of its text, None for what is not there."""
    sizes: list[int | None] = []
    for path in (image, image.with_suffix(".txt")):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            sizes.append(None)
    return sizes


def _of_items(items: Sequence[Item]) -> Iterator[Block]:
    rows = block_rows(len(items))
    for number, first in enumerate(range(0, len(items), rows)):
        chosen = tuple(items[first : first + rows])
        yield Block(number, first, len(chosen), _hash(map(_words, chosen)), chosen)


def _words(item: Item) -> tuple[str | None, ...]:
    if isinstance(item, Fault):
        return (item.id, item.error)
    image = item.image if isinstance(item, Example) else None
    return (item.id, item.text, None if image is None else str(image))


def _hash(rows: Iterable[tuple[str | int | None, ...]]) -> str:
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()
