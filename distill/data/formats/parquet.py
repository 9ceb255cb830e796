"""Reads Parquet files, whole or some rows by their numbers. pyarrow is imported only when such a file is read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.extras import require
from distill.core.inputs import open_input
from distill.core.untrusted import short_repr
from distill.data.columns import Columns
from distill.data.formats.table import Table

SUFFIX = ".parquet"
BATCH_ROWS = 256
BATCH_BYTES = 32 << 20  # of rows that hold images, if they are as large as the others of the file
BUFFER_BYTES = 1 << 20  # of a column that is read at a time, where it would be a whole group of rows
Row = tuple[int, dict[str, Any] | DataError]


def is_parquet(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() == SUFFIX


def open_parquet(path: Path) -> Table:
    """The rows of a file, with what Hugging Face datasets have written of its columns: a class stands for its
    number, and an Image column holds the images. Raises DataError."""
    with _opened(path) as file:
        features = _features(file)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    classes = list(_class_names(features))
    columns = Columns(
        image=images[0] if len(images) == 1 else "", labels=tuple(classes) if len(classes) == 1 else ()
    )
    return Table("Parquet", iter_rows(path), columns)


@dataclass(frozen=True)
class Footer:
    """A Parquet file, its number of rows, and a hash of its footer, which gives the place and length of every
    column: it tells files of terabytes apart without reading them."""

    path: Path
    rows: int
    footer: str


def describe(path: Path) -> Footer:
    """Read a file's footer. Raises DataError if it is not a Parquet file."""
    with _opened(path) as file:
        rows = int(file.metadata.num_rows)
        groups = [file.metadata.row_group(number).to_dict() for number in range(file.metadata.num_row_groups)]
        footer = repr((path.stat().st_size, str(file.schema_arrow), groups))
    return Footer(path, rows, hashlib.sha256(footer.encode()).hexdigest())


def iter_rows(
    path: Path, first: int = 0, count: int | None = None, columns: Collection[str] | None = None
) -> Iterator[Row]:
    """(row number from 1, row) of `count` rows after the first `first`, all of them for None, with these `columns`
    alone, and read in batches. Raises DataError."""
    with _opened(path) as file:
        stop = file.metadata.num_rows if count is None else first + count
        groups, start = _groups(file, first, stop)
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        classes = {name: each for name, each in _class_names(_features(file)).items() if name in names}
        size = _batch_rows(file.metadata, groups)
        for batch in file.iter_batches(size, row_groups=groups, columns=names) if groups else ():
            wanted = batch.slice(max(0, first - start), max(0, stop - max(first, start)))
            for number, row in enumerate(wanted.to_pylist(), max(first, start) + 1):
                yield number, row | {name: _named(row[name], names) for name, names in classes.items()}
            start += batch.num_rows


def _batch_rows(metadata: Any, groups: Sequence[int]) -> int:
    """The rows of a batch, so many that they take some BATCH_BYTES at most."""
    parts = [metadata.row_group(number) for number in groups]
    row_bytes = sum(part.total_byte_size for part in parts) / max(1, sum(part.num_rows for part in parts))
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1, row_bytes))))


def _features(file: Any) -> dict[str, Any]:
    """By column, what Hugging Face datasets have written of it; nothing where they have not written the file."""
    try:
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    except (TypeError, KeyError, ValueError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    # A sequence is written as a list of one feature, or as an object around it.
    features = {name: each[0] if isinstance(each, list) and each else each for name, each in features.items()}
    return {
        name: each for name, each in features.items() if isinstance(each, dict) and name in file.schema_arrow.names
    }


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of classes, by their columns."""
    inner = {
        name: each["feature"] if isinstance(each.get("feature"), dict) else each for name, each in features.items()
    }
    return {
        name: each["names"]
        for name, each in inner.items()
        if isinstance(each.get("names"), list) and all(isinstance(one, str) for one in each["names"])
    }


def _named(value: Any, names: list[str]) -> Any:
    """Names in place of the numbers of classes; -1, as in test sets that keep theirs secret, is none."""
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    if isinstance(value, int) and -1 <= value < len(names):
        return names[value] if value >= 0 else None
    return value


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


def _refuse_mismatched(path: Path, file: Any) -> None:
    """Raise DataError where a column is of another type in its metadata than in the schema, which pyarrow ends the
    process for."""
    metadata = file.metadata
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        for place in range(metadata.num_columns):
            if group.column(place).physical_type != file.schema.column(place).physical_type:
                name = short_repr(file.schema.column(place).name)
                raise DataError(f"{path}: damaged: its column {name} has two types; write the file again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A pyarrow ParquetFile. Raises DataError if it cannot be read, InstallError without pyarrow."""
    pyarrow, parquet = (require(module, f"{path}: reading it") for module in ("pyarrow", "pyarrow.parquet"))
    open_input(path, DataError).close()
    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
            _refuse_doubled(path, file.schema_arrow.names)
            _refuse_mismatched(path, file)
            yield file
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error


def _refuse_doubled(path: Path, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{path}: has two columns {short_repr(name)}; keep one of them")
