"""The process in which pyarrow reads Parquet files, since some damaged files make pyarrow abort its process.

    python -m distill.data.formats.parquet_process footers        < paths, one a line
    python -m distill.data.formats.parquet_process rows PATH FIRST STOP COLUMNS

`footers` answers each path with a JSON line, [number of rows, hash of the footer]. `rows` writes the rows
FIRST..STOP, counted from 0, as an Arrow stream, with the columns that a JSON list names, or all for null. What is
wrong with a file is one line on standard error and exit code REFUSED.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from distill.core.untrusted import short_repr
from distill.data.formats.parquet import REFUSED

BATCH_ROWS = 256
BATCH_BYTES = 32 << 20  # of rows that hold images, if they are as large as the others of the file
BUFFER_BYTES = 1 << 20  # of a column that is read at a time, where it would be a whole group of rows


def main(arguments: list[str]) -> None:
    """Answer `footers` or `rows`."""
    try:
        if arguments[0] == "footers":
            for path in sys.stdin.buffer.read().decode(errors="surrogateescape").splitlines():
                print(json.dumps(_footer(path)), flush=True)
        else:
            _write_rows(arguments[1], range(int(arguments[2]), int(arguments[3])), json.loads(arguments[4]))
    except BrokenPipeError:
        return  # the reader has enough
    except (pyarrow.ArrowException, UnicodeDecodeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        sys.stderr.buffer.write(reason.encode(errors="backslashreplace"))
        sys.exit(REFUSED)


def _footer(path: str) -> tuple[int, str]:
    with _opened(path) as file:
        groups = [file.metadata.row_group(number).to_dict() for number in range(file.metadata.num_row_groups)]
        footer = repr((Path(path).stat().st_size, str(file.schema_arrow), groups))
        return file.metadata.num_rows, hashlib.sha256(footer.encode()).hexdigest()


def _write_rows(path: str, wanted: range, columns: list[str] | None) -> None:
    with _opened(path) as file:
        schema = file.schema_arrow
        names = [name for name in schema.names if columns is None or name in columns]
        schema = pyarrow.schema([schema.field(name) for name in names], schema.metadata)
        with pyarrow.ipc.new_stream(sys.stdout.buffer, schema) as stream:
            for batch in _batches(file, range(wanted.start, min(wanted.stop, file.metadata.num_rows)), names):
                batch.validate(full=True)
                stream.write_batch(batch)


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
        for name, count in Counter(file.schema_arrow.names).items():
            if count > 1:
                raise ValueError(f"it has two columns {short_repr(name)}; keep one of them")
        yield file


def _batches(file: Any, wanted: range, names: list[str]) -> Iterator[Any]:
    groups, start = _groups(file, wanted)
    size = _batch_rows(file.metadata, groups)
    for batch in file.iter_batches(size, row_groups=groups, columns=names) if groups else ():
        yield batch.slice(max(0, wanted.start - start), max(0, wanted.stop - max(wanted.start, start)))
        start += batch.num_rows


def _batch_rows(metadata: Any, groups: list[int]) -> int:
    """The rows of a batch, so many that they take some BATCH_BYTES at most."""
    parts = [metadata.row_group(number) for number in groups]
    row_bytes = sum(part.total_byte_size for part in parts) / max(1, sum(part.num_rows for part in parts))
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1, row_bytes))))


def _groups(file: Any, wanted: range) -> tuple[list[int], int]:
    """The row groups with wanted rows, and the number of rows before them."""
    groups: list[int] = []
    start = skipped = 0
    for number in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(number).num_rows
        if start < wanted.stop and end > wanted.start:
            skipped = skipped if groups else start
            groups.append(number)
        start = end
    return groups, skipped


if __name__ == "__main__":
    main(sys.argv[1:])
