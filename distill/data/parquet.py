"""Reads rows of Parquet files by their numbers. pyarrow is imported only when such a file is read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.extras import require
from distill.core.inputs import open_input

SUFFIX = ".parquet"
COLUMNS = ("id", "text", "image")  # labels are not read: they may be of any type
BATCH_ROWS = 256  # each may hold an image


@dataclass(frozen=True)
class Table:
    """A Parquet file, its number of rows, and a hash of its footer, which gives the place and length of every
    column: it tells files of terabytes apart without reading them."""

    path: Path
    rows: int
    footer: str


def describe(path: Path) -> Table:
    """Read a file's footer. Raises DataError if it is not a Parquet file or lacks columns."""
    with _opened(path) as file:
        _columns(path, file)
        rows = int(file.metadata.num_rows)
        groups = [file.metadata.row_group(number).to_dict() for number in range(file.metadata.num_row_groups)]
        footer = repr((path.stat().st_size, str(file.schema_arrow), groups))
    return Table(path, rows, hashlib.sha256(footer.encode()).hexdigest())


def iter_rows(path: Path, first: int = 0, count: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row) of `count` rows after the first `first`, all of them for None, read in batches.
    Raises DataError."""
    with _opened(path) as file:
        stop = file.metadata.num_rows if count is None else first + count
        groups, start = _groups(file, first, stop)
        columns = _columns(path, file)
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns) if groups else ():
            wanted = batch.slice(max(0, first - start), max(0, stop - max(first, start)))
            yield from enumerate(wanted.to_pylist(), max(first, start) + 1)
            start += batch.num_rows


def iter_whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """All rows with all of their columns. Raises DataError, also for a column name that stands twice."""
    with _opened(path) as file:
        names = list(file.schema_arrow.names)
        doubled = next((name for name, count in Counter(names).items() if count > 1), None)
        if doubled is not None:
            raise DataError(f"{path}: has two columns {doubled!r}; keep one of them")
        for batch in file.iter_batches(BATCH_ROWS):
            yield from batch.to_pylist()


def _groups(file: Any, first: int, stop: int) -> tuple[list[int], int]:
    """The row groups with rows of first..stop, and the number of rows before them."""
    groups: list[int] = []
    start = skipped = 0
    for number in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(number).num_rows
        if start < stop and end > first:
            skipped = skipped if groups else start
            groups.append(number)
        start = end
    return groups, skipped


def _columns(path: Path, file: Any) -> list[str]:
    names = list(file.schema_arrow.names)
    has = f"it has {', '.join(names[:12])}"
    if "id" not in names:
        raise DataError(f"{path}: has no column 'id'; {has}")
    if "text" not in names and "image" not in names:
        raise DataError(f"{path}: has neither a column 'text' nor 'image'; {has}")
    duplicates = [name for name in COLUMNS if names.count(name) > 1]
    if duplicates:
        raise DataError(f"{path}: has two columns {duplicates[0]!r}; keep one of them")
    return [name for name in COLUMNS if name in names]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A pyarrow ParquetFile. Raises DataError if it cannot be read, InstallError without pyarrow."""
    pyarrow, parquet = (require(module, f"{path}: reading it") for module in ("pyarrow", "pyarrow.parquet"))
    open_input(path, DataError).close()
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
