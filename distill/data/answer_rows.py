"""Reads the rows of a file of answers, in each of its forms, to an id and a value for each label.

A row has a column a label; or the columns label and value; or an object of labels and values under "answers".
"probabilities" or "logits" in place of "answers", and "probability" or "logit" in place of "value", say what the
values are. In NPZ: the arrays ids (N,), labels (L,), and (N, L) of one of the former three names.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, read_input
from distill.core.untrusted import replace_surrogates, short_repr
from distill.data.formats.open_table import SUFFIXES as TABLES
from distill.data.formats.open_table import open_table

Scale = Literal["probabilities", "logits"]
SUFFIXES = (*TABLES, ".npz")
NESTED: dict[str, Scale | None] = {"answers": None, "probabilities": "probabilities", "logits": "logits"}
VALUES: dict[str, Scale | None] = {"value": None, "probability": "probabilities", "logit": "logits"}
BESIDE = ("labels", "text", "image", "ocr_text", "ask")  # columns of datasets and predictions; they are not read
NO_ERROR = ("", "0", "0.0", "false", "no", "nan", "null", "none", "na", "n/a", "ok")
UNKNOWN = ("", "nan", "null", "none", "na")  # in text files, where there is no answer


@dataclass(frozen=True)
class AnswerRow:
    """`values` by label are as they were read; `is_failed` is a row of an error in place of answers. `scale` is
    what the row's keys say of the values, None if nothing."""

    where: str
    id: str
    annotator: str | None
    values: dict[str, Any]
    scale: Scale | None
    is_failed: bool = False


def iter_answer_rows(path: Path, labels: tuple[str, ...]) -> Iterator[AnswerRow]:
    """The rows of a file, streamed but for .json and .npz. A name in `labels` is always a label's. Raises
    DataError."""
    if path.suffix == ".npz":
        yield from _npz_rows(path)
        return
    names = frozenset(labels)
    for number, row in _table_rows(path):
        yield _parse(row, f"{path}: row {number}", names)


def to_number(value: Any, where: str, label: str) -> float:
    """A label's value as a number, NaN where there is no answer. Raises DataError with `where`."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in UNKNOWN:
            return math.nan
        value = {"true": True, "false": False}.get(text, value)
    try:
        if isinstance(value, str) and ("_" in value or not value.isascii()):
            raise ValueError  # Python's own notations of numbers
        number = float(value) if isinstance(value, str | int | float) else math.inf
    except (ValueError, OverflowError):
        number = math.inf
    if math.isinf(number):
        raise DataError(
            f"{where}: {short_repr(label)}: expected a finite number, or nothing where there is no answer; got "
            f"{short_repr(value)}"
        )
    return number


def _parse(row: Any, where: str, labels: frozenset[str]) -> AnswerRow:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with id and a value for each label; got {short_repr(row)}")
    cells = {name: value for name, value in row.items() if name in labels or name not in BESIDE}

    def take(name: str) -> Any:
        return None if name in labels else cells.pop(name, None)

    if "id" not in cells:
        raise DataError(f"{where}: has no 'id'; it has {_listed(row)}")
    id_, annotator, failed = _name(cells.pop("id"), "id", where), take("annotator"), take("error")
    annotator = None if annotator in (None, "") else _name(annotator, "annotator", where)
    if failed and str(failed).strip().lower() not in NO_ERROR:
        return AnswerRow(where, id_, annotator, {}, None, is_failed=True)
    values, scale = _values(cells, where, labels)
    return AnswerRow(where, id_, annotator, values, scale)


def _values(cells: dict[str, Any], where: str, labels: frozenset[str]) -> tuple[dict[str, Any], Scale | None]:
    """A row's values by label, in whichever form it has them."""
    nested = [name for name in NESTED if name in cells and name not in labels]
    value_columns = [name for name in VALUES if name in cells and name not in labels]
    if nested:
        name, values = nested[0], cells[nested[0]]
        if len(cells) > 1:
            raise DataError(f"{where}: expected id and {short_repr(name)} alone; it has {_listed(cells)} as well")
        if not isinstance(values, dict):
            raise DataError(f"{where}: {name} must be an object of labels and values; got {short_repr(values)}")
        return values, NESTED[name]
    if value_columns and "label" in cells and "label" not in labels:
        name = value_columns[0]
        if len(cells) > 2:
            raise DataError(f"{where}: expected id, label and {name} alone; it has {_listed(cells)}")
        return {_name(cells["label"], "label", where): cells[name]}, VALUES[name]
    return cells, None


def _name(value: Any, what: str, where: str) -> str:
    if value in (None, "") or not isinstance(value, str | int) or isinstance(value, bool):
        raise DataError(f"{where}: {what} must be a string or a whole number; got {short_repr(value)}")
    return replace_surrogates(str(value))


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(short_repr(name) for name in list(names)[:8])


def _table_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, row) of any table."""
    for number, row in open_table(path).rows:
        if isinstance(row, DataError):
            raise row
        yield number, row


def _npz_rows(path: Path) -> Iterator[AnswerRow]:
    arrays = _npz_arrays(path)
    names = [name for name in NESTED if name in arrays]
    if {"ids", "labels", *names} != set(arrays) or len(names) != 1:
        raise DataError(
            f"{path}: expected the arrays ids, labels and one of {', '.join(NESTED)}; it has {_listed(arrays)}"
        )
    ids, labels, values = arrays["ids"], arrays["labels"], arrays[names[0]]
    if ids.ndim != 1 or labels.ndim != 1 or values.shape != (len(ids), len(labels)):
        raise DataError(
            f"{path}: {names[0]} {values.shape} do not fit ids {ids.shape} and labels {labels.shape}; expected "
            "(N, L), (N,) and (L,)"
        )
    if ids.dtype.kind not in "Uiu" or labels.dtype.kind != "U" or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: expected ids and labels as text and {names[0]} as numbers; got {ids.dtype}, {labels.dtype} "
            f"and {values.dtype}"
        )
    columns = labels.tolist()
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: a label stands twice in labels; keep one of them")
    for number, (id_, row) in enumerate(zip(ids.astype(np.str_).tolist(), values, strict=True), 1):
        where = f"{path}: row {number}"
        cells = dict(zip(columns, row.tolist(), strict=True))
        yield AnswerRow(where, _name(id_, "id", where), None, cells, NESTED[names[0]])


def _npz_arrays(path: Path) -> dict[str, Any]:
    """Raises DataError for anything but arrays without pickles, of MAX_JSON bytes together."""
    content = io.BytesIO(read_input(path, MAX_JSON, DataError))
    try:
        with zipfile.ZipFile(content) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_JSON:
            raise DataError(f"{path}: holds {size:,} bytes, over the limit of {MAX_JSON:,}; write Parquet instead")
        with np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except DataError:
        raise
    except Exception as error:  # zip, zlib and numpy each have errors of their own
        raise DataError(f"{path}: not readable as NPZ: {error}") from error
