"""Splits a source into blocks of rows that workers read by themselves.

A block is a number of whole chunks of the source, in order: `Predictor.stream` then puts the same rows into the
same batches as a single process does, and the lines have the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.storage.inputs import bounded_lines, open_input
from distill.data.dataset import Example
from distill.data.formats import parquet
from distill.data.image_facts import image_hash
from distill.data.rows import RowReader
from distill.data.sources import FailedRow, ImageFile, Item, Source, items_of, json_lines
from distill.runtime.pipeline import CHUNK_SIZE

MAX_BLOCKS = 1000  # where there would be more, they grow,
MAX_CHUNKS = 16  # up to so many chunks, so that a killed worker loses no more than minutes


@dataclass(frozen=True)
class LineSpan:
    """Lines of a JSONL file: the number and byte of the first, and their size."""

    reader: RowReader
    first_line: int
    start: int
    size_bytes: int


@dataclass(frozen=True)
class TableSpan:
    """`count` rows of a Parquet file, after its first `first`."""

    table: parquet.Footer
    reader: RowReader
    first: int
    count: int


@dataclass(frozen=True)
class Block:
    """`count` items of a source, after its first `first`.

    `content_hash` changes with the items. `rows` says where to read them, or holds the items themselves where the
    source can only be read from its start.
    """

    number: int
    first: int
    count: int
    content_hash: str
    rows: LineSpan | tuple[TableSpan, ...] | tuple[ImageFile, ...] | tuple[Item, ...]


def split_into_blocks(source: Source) -> list[Block]:
    """All blocks of a source, in order. Raises DataError.

    JSONL is read once for its hashes, Parquet's footers are read, and CSV and JSON are read whole, since their rows
    can only be found from the start.
    """
    paths = tuple(path.absolute() for path in source.files)  # a worker's working directory is another
    source = replace(source, path=source.path.absolute(), files=paths)
    if source.kind == "parquet":
        return list(_table_blocks(parquet.describe(paths), source.readers()))
    if source.kind == "images":
        return list(_image_blocks(source.image_files()))
    if source.kind == "jsonl":
        return list(_line_blocks(source.readers()[paths[0]], rows_per_block(source.count() or 0)))
    return list(_item_blocks(list(source.items())))


def rows_per_block(total: int) -> int:
    """The number of rows in each block but the last, for `total` rows in all."""
    return CHUNK_SIZE * min(max(1, total // (CHUNK_SIZE * MAX_BLOCKS)), MAX_CHUNKS)


def read_block(block: Block) -> Iterator[Item]:
    """The items of a block. Raises DataError when the source has changed since it was split."""
    if isinstance(block.rows, LineSpan):
        yield from _read_lines(block, block.rows)
        return
    for row in block.rows:
        if isinstance(row, TableSpan):
            if parquet.describe([row.table.path]) != [row.table]:
                raise DataError(f"{row.table.path}: changed while it was read; give the same command again")
            columns = row.reader.roles.names() if row.reader.convert is None else None
            rows = parquet.iter_rows(row.table.path, row.first, row.count, columns)
            yield from items_of(row.reader.converted(rows), row.reader)
        else:
            yield row.read() if isinstance(row, ImageFile) else row


def _line_blocks(reader: RowReader, rows: int) -> Iterator[Block]:
    path = reader.path
    try:
        with open_input(path, DataError) as handle:
            span, all_lines = LineSpan(reader, 1, 0, 0), bounded_lines(handle, path, DataError)
            for number in itertools.count():
                count, lines, content = _next_lines(all_lines, rows)
                if not count:
                    return
                span = replace(span, size_bytes=len(content))
                yield Block(number, number * rows, count, hashlib.sha256(content).hexdigest(), span)
                span = replace(span, first_line=span.first_line + lines, start=span.start + len(content))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _next_lines(all_lines: Iterator[bytes], rows: int) -> tuple[int, int, bytes]:
    """Read up to `rows` lines that are not blank, and the blank ones between: the number of the former, the number
    of both, and their bytes."""
    lines: list[bytes] = []
    count = 0
    while count < rows and (line := next(all_lines, b"")):
        lines.append(line)
        count += bool(line.strip())
    return count, len(lines), b"".join(lines)


def _read_lines(block: Block, span: LineSpan) -> Iterator[Item]:
    path = span.reader.path
    try:
        with path.open("rb") as handle:
            handle.seek(span.start)
            content = handle.read(span.size_bytes)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != block.content_hash:
        raise DataError(f"{path}: changed while it was read; give the same command again")
    yield from json_lines(io.BytesIO(content), span.reader, span.first_line)


def _table_blocks(tables: Sequence[parquet.Footer], readers: Mapping[Path, RowReader]) -> Iterator[Block]:
    """Blocks continue from one file into the next, as chunks do where one process reads them all."""
    total = sum(table.rows for table in tables)
    rows = rows_per_block(total)
    for number, first in enumerate(range(0, total, rows)):
        stop, begin, spans = min(first + rows, total), 0, []
        for table in tables:
            low, high = max(first, begin), min(stop, begin + table.rows)
            if low < high:
                spans.append(TableSpan(table, readers[table.path], low - begin, high - low))
            begin += table.rows
        content_hash = _hash((span.table.path.name, span.table.footer, span.first, span.count) for span in spans)
        yield Block(number, first, stop - first, content_hash, tuple(spans))


def _image_blocks(files: Sequence[ImageFile]) -> Iterator[Block]:
    rows = rows_per_block(len(files))
    for number, first in enumerate(range(0, len(files), rows)):
        chosen = tuple(files[first : first + rows])
        content_hash = _hash((file.id, *_sizes(file.path)) for file in chosen)
        yield Block(number, first, len(chosen), content_hash, chosen)


def _sizes(image: Path) -> list[int | None]:
    """The sizes in bytes of an image and of its text file, None for a missing one."""
    sizes: list[int | None] = []
    for path in (image, image.with_suffix(".txt")):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            sizes.append(None)
    return sizes


def _item_blocks(items: Sequence[Item]) -> Iterator[Block]:
    rows = rows_per_block(len(items))
    for number, first in enumerate(range(0, len(items), rows)):
        chosen = tuple(items[first : first + rows])
        yield Block(number, first, len(chosen), _hash(map(_hashed_fields, chosen)), chosen)


def _hashed_fields(item: Item) -> tuple[str | None, ...]:
    if isinstance(item, FailedRow):
        return (item.id, item.error)
    image = item.image if isinstance(item, Example) else None
    return (
        item.id,
        item.text,
        image_hash(image) if isinstance(image, bytes) else None if image is None else str(image),
    )


def _hash(rows: Iterable[tuple[str | int | None, ...]]) -> str:
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()
