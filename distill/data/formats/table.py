"""What every reader of a format gives: rows by column, before anything is known of the columns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.columns import Columns

Convert = Callable[[dict[str, Any]], dict[str, Any]]
NumberedRow = tuple[int, dict[str, Any] | DataError]


@dataclass(frozen=True)
class Table:
    """`format` names what was read for its user, such as "CSV, separated by ;". `rows` are (number from 1, row by
    column), or a DataError in place of a row that cannot be read, and are read once. `columns` is what the format
    itself says of its columns, and `image_folders` where it keeps its images, beside the places where every image
    is looked for. `is_text` says that every cell is a string, where "nan" may stand for nothing. `convert` makes of
    each row what its published form means by it, in the columns `columns`; it raises DataError or KeyError for one
    that it cannot read. `published` says that a file is of another form than rows by column, or that its columns
    mean something else than their names."""

    format: str
    rows: Iterator[NumberedRow]
    columns: Columns = field(default_factory=Columns)
    image_folders: tuple[Path, ...] = ()
    is_text: bool = False
    convert: Convert | None = None
    published: bool = False


def convert_rows(
    rows: Iterable[NumberedRow], convert: Convert | None, path: Path
) -> Generator[NumberedRow, None, None]:
    """Rows of the file `path` as `convert` makes them, with a DataError for one that it cannot."""
    for number, row in rows:
        if convert is None or isinstance(row, DataError):
            yield number, row
            continue
        try:
            yield number, convert(row)
        except KeyError as error:
            yield number, DataError(f"{path}: row {number}: has no {error}")
        except (TypeError, ValueError) as error:
            yield number, DataError(f"{path}: row {number}: {short_repr(str(error))}")
        except DataError as error:
            yield number, DataError(f"{path}: row {number}: {error}")
