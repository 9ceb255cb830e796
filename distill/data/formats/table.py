"""What every reader of a format gives: rows by column, before anything is known of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.data.columns import Columns


@dataclass(frozen=True)
class Table:
    """`format` names what was read for its user, such as "CSV, separated by ;". `rows` are (number from 1, row by
    column), or a DataError in place of a row that cannot be read, and are read once. `columns` is what the format
    itself says of its columns, and `image_folders` where it keeps its images, beside the places where every image
    is looked for. `convert` makes of each row what its published form means by it, in the columns `columns`; it
    raises DataError or KeyError for a row that it cannot."""

    format: str
    rows: Iterator[tuple[int, dict[str, Any] | DataError]]
    columns: Columns = field(default_factory=Columns)
    image_folders: tuple[Path, ...] = ()
    convert: Callable[[dict[str, Any]], dict[str, Any]] | None = None
