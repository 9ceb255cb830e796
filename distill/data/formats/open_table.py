"""The door to all formats: `open_table` finds a file's format by its suffix and content, and opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distill.core.errors import DataError
from distill.data.formats.delimited import is_delimited, open_delimited
from distill.data.formats.json_rows import is_json, open_json
from distill.data.formats.other_content import refuse_other_content
from distill.data.formats.parquet import is_parquet, open_parquet
from distill.data.formats.published import recognise
from distill.data.formats.table import Table

# The suffixes of files that are looked for; a file that is named may have others.
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".ndjson", ".tab")
# In order: the first whose test holds reads the file.
FORMATS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Table]], ...] = (
    (is_parquet, open_parquet),
    (is_json, open_json),
    (is_delimited, open_delimited),
)


def is_table(path: Path) -> bool:
    """Whether the file's name says that it may be a table."""
    return path.suffix.lower() in (*SUFFIXES, ".txt")


def open_table(path: Path, as_is: bool = False) -> Table:
    """The rows of a file by column, of a published form unless they are to be read `as_is`. Raises DataError for a
    file of no known format."""
    refuse_other_content(path)
    if is_table(path):
        for is_format, opened in FORMATS:
            if is_format(path):
                return opened(path) if as_is else recognise(opened(path), path)
    raise DataError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
