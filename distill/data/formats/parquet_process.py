"""The process in which pyarrow reads Parquet files, since some damaged files make pyarrow abort its process.

    python -m distill.data.formats.parquet_process footers        < paths, one a line
    python -m distill.data.formats.parquet_process rows PATH FIRST STOP

`footers` answers each path with a JSON line, [number of rows, hash of the footer]. `rows` writes the rows
FIRST..STOP, counted from 0, as an Arrow stream. What is wrong with a file is one line on standard error and
exit code REFUSED.
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

BATCH_ROWS = 256  # each may hold an image
REFUSED = 65


def main(arguments: list[str]) -> None:
    """Answer `footers` or `rows`."""
    try:
        if arguments[0] == "footers":
            for path in sys.stdin.buffer.read().decode(errors="surrogateescape").splitlines():
                print(json.dumps(_footer(path)), flush=True)
        else:
            _write_rows(arguments[1], int(arguments[2]), int(arguments[3]))
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


def _write_rows(path: str, first: int, stop: int) -> None:
    with _opened(path) as file, pyarrow.ipc.new_stream(sys.stdout.buffer, file.schema_arrow) as stream:
        for batch in _batches(file, range(first, min(stop, file.metadata.num_rows))):
            batch.validate(full=True)
            stream.write_batch(batch)


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with pyarrow.parquet.ParquetFile(path) as file:
        for name, count in Counter(file.schema_arrow.names).items():
            if count > 1:
                raise ValueError(f"it has two columns {short_repr(name)}; keep one of them")
        yield file


def _batches(file: Any, wanted: range) -> Iterator[Any]:
    groups, start = _groups(file, wanted)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=groups) if groups else ():
        yield batch.slice(max(0, wanted.start - start), max(0, wanted.stop - max(wanted.start, start)))
        start += batch.num_rows


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
