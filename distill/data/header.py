"""Whether the first line of a CSV or TSV file is its header: it may be a row, a title, or of another separator."""

from __future__ import annotations

import re
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import short_repr, shorten
from distill.data.column_survey import ColumnSurvey, Survey, looks_like_image, looks_like_text
from distill.data.columns import SYNONYMS, Columns, list_columns, normal_name
from distill.data.formats.delimited import NAMES, SEPARATORS, UNNAMED

KNOWN = frozenset().union(*SYNONYMS.values())
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
FEWEST_ROWS = 5  # in fewer texts, as many commas may stand in each by chance
MOST_WORDS = 2  # of a column's name that is hardly a text
SEPARATED = re.compile(r"[^\w\s-]+")


def refuse_other_header(survey: Survey, path: Path, said: Columns) -> None:
    """Raise DataError where the names of the columns are hardly a header. Those that are `said` to be columns prove
    that it is one."""
    names = list(survey.columns)
    if len(names) > 1 and not names[0].startswith(UNNAMED) and all(name.startswith(UNNAMED) for name in names[1:]):
        raise DataError(
            f"{path}: the first line names one of {len(names)} columns, {short_repr(names[0])}; if it is a title, "
            "remove it: the header comes first"
        )
    if any(normal_name(name) in KNOWN for name in names) or names == [str(place) for place in range(len(names))]:
        return  # pandas names columns by their places
    if len(names) == 1:
        _refuse_joined_names(names[0], path)
    if any(name in survey and _is_name(name) for name in (said.id, said.text, said.image)):
        return
    if len(names) == 1:
        _refuse_title(names[0], survey.columns[names[0]], path)
    signs = [_is_value(name, column) for name, column in survey.columns.items()]
    if False not in signs and signs.count(True) + any(map(looks_like_text, names)) > 1:
        raise DataError(
            f"{path}: the first line holds {list_columns(names)}, which looks like a row: has the file no header? "
            "Write one above it, such as id,text,labels; or, if that is it, name its texts with --text-column"
        )


def _is_name(name: str) -> bool:
    """Whether a name that a user gives is hardly a cell, as the first text of a file without a header is, if its
    user obeys another message."""
    return len(name.split()) <= MOST_WORDS and not NUMBER.fullmatch(name) and not looks_like_image(name)


def _refuse_joined_names(name: str, path: Path) -> None:
    known = ", ".join(NAMES.values())
    parts = SEPARATED.split(name)
    if len(parts) > 1 and sum(normal_name(part) in KNOWN for part in parts) > 1:
        raise DataError(
            f"{path}: the header {shorten(name)!r} is one column, as its separator is none of {known}; write the "
            "file with one of these"
        )


def _refuse_title(name: str, column: ColumnSurvey, path: Path) -> None:
    cells = [value for value in column.distinct.values() if isinstance(value, str)]
    own = SEPARATORS.get(path.suffix.lower(), "\t")  # cells that hold it were between quotes
    for separator, called in NAMES.items():
        counts = {cell.count(separator) for cell in cells}
        if separator != own and len(cells) >= FEWEST_ROWS and len(counts) == 1 and counts != {0}:
            raise DataError(
                f"{path}: the first line, {short_repr(name)}, has one column and the others have "
                f"{counts.pop() + 1}, separated by {called}; if it is a title, remove it: the header comes first"
            )


def _is_value(name: str, column: ColumnSurvey) -> bool | None:
    """Whether the name of a column looks like one of its values; None where that cannot be told."""
    values = [value for value in column.distinct.values() if isinstance(value, str)]
    if not values:
        return None
    if 2 * len(values) <= column.filled:
        return name in column.distinct
    if all(map(NUMBER.fullmatch, values)):
        return NUMBER.fullmatch(name) is not None
    if column.holds("image"):
        return looks_like_image(name)
    return None
