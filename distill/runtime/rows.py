"""Turns what Python code passes to a Predictor (dicts, tuples, a DataFrame, images in memory) into items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.examples import MAX_TEXT, Example
from distill.data.image_names import MAX_PATH, from_data_url, is_data_url, is_on_web
from distill.data.items import FailedRow, InMemoryExample, Item
from distill.preprocess.text import has_text

KEYS = ("id", "text", "image", "labels")  # of a row; labels are accepted and not read


def to_item(text: Any = None, image: Any = None, id: Any = "", where: str = "this row") -> Item:
    """One row. None and NaN, which is pandas' empty cell, stand for a missing text or image.

    `image` is a path, an image file's bytes, a PIL image, or a numpy array uint8 (H, W), (H, W, 3) or (H, W, 4).
    Raises DataError for anything else, and for a row that has neither.
    """
    id_, text = _name(id, where), "" if _is_missing(text) else text
    if not isinstance(text, str):
        raise DataError(f"{where}: text must be a string; got {short_repr(text)}")
    if len(text) > MAX_TEXT:
        raise DataError(f"{where}: text has {len(text):,} characters, over the limit of {MAX_TEXT:,}; cut it")
    if (isinstance(image, str) and not image) or _is_missing(image):
        if not has_text(text):
            raise DataError(f"{where}: has neither text nor image; give one of them, or both")
        return Example(id_, text, None, ())
    if isinstance(image, str) and is_data_url(image):
        return InMemoryExample(id_, text, from_data_url(image, where), f"{where}: image")
    if isinstance(image, str | PathLike):
        return Example(id_, text, _path(image, where), ())
    return InMemoryExample(id_, text, _in_memory(image, where), f"{where}: image")


def to_items(rows: Any, on_error: Literal["raise", "return"] = "raise") -> Iterator[Item]:
    """Rows of an iterable, or of a table of pandas, polars or pyarrow: dicts or named tuples with the keys of KEYS,
    or tuples (text, image).

    A row without an id gets its number, from 0. Raises DataError for rows of another shape, and for a value that is
    not understood; with on_error="return", a FailedRow stands in the place of a row with such a value.
    """
    rows = _rows_of_table(rows)
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise DataError(
            f"give a list of rows, such as [{{'text': 'hello', 'image': 'a.jpg'}}]; got {short_repr(rows)}"
        )
    for number, row in enumerate(rows):
        where = f"row {number}"
        if isinstance(row, tuple) and hasattr(row, "_asdict"):
            row = row._asdict()
        if isinstance(row, Mapping):
            _check_keys(list(row), where)
            text, image, id_ = row.get("text"), row.get("image"), row.get("id")
        elif isinstance(row, tuple | list) and len(row) == 2:
            (text, image), id_ = row, None
        else:
            raise DataError(f"{where}: expected a dict or a tuple (text, image); got {short_repr(row)}")
        id_ = number if _is_missing(id_) else id_
        try:
            item = to_item(text, image, id_, where)
        except DataError as error:
            if on_error == "raise":
                raise
            item = FailedRow(str(id_), str(error))
        yield item


def _rows_of_table(rows: Any) -> Any:
    """A table's rows as dicts; anything else as it is."""
    if hasattr(rows, "to_pylist"):  # pyarrow
        _check_keys(rows.column_names, "table")
        return rows.to_pylist()
    if not hasattr(rows, "columns"):
        return rows
    if hasattr(rows, "to_dicts"):  # polars
        _check_keys(rows.columns, "table")
        return rows.to_dicts()
    if any(name in KEYS for name in rows.index.names):
        rows = rows.reset_index()
    _check_keys(list(rows.columns), "table")
    return rows.to_dict("records")


def _check_keys(keys: list[Any], where: str) -> None:
    for number, key in enumerate(keys):
        if key not in KEYS:
            raise DataError(f"{where}: unknown key {short_repr(key)}; expected {', '.join(KEYS)}")
        if key in keys[:number]:
            raise DataError(f"{where}: two columns are named {key}; keep one")


def _name(id: Any, where: str) -> str:
    """An id as text; whole numbers of a float column, which is where pandas puts integers with gaps, without .0."""
    if _is_missing(id):
        return ""
    if isinstance(id, float | np.floating) and float(id).is_integer():
        return str(int(id))
    if isinstance(id, str | int | float | np.generic):
        return str(id)
    raise DataError(f"{where}: id must be a string or a number; got {short_repr(id)}")


def _path(image: str | PathLike[str], where: str) -> Path:
    name = fspath(image)
    if not isinstance(name, str) or len(name) > MAX_PATH or "\0" in name:
        raise DataError(
            f"{where}: image is {short_repr(name)}, which is no path; for an image in memory give bytes, or "
            "data:image/png;base64,..."
        )
    if is_on_web(name):
        raise DataError(f"{where}: image is {short_repr(name)}, and nothing is downloaded; give a path or bytes")
    return Path(name)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT, which are no floats and equal nothing."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _in_memory(image: Any, where: str) -> bytes | Image.Image:
    if isinstance(image, Image.Image):
        return _opened(image, where)
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if not isinstance(image, np.ndarray) or isinstance(image, np.ma.MaskedArray):
        hint = "; give what its read() returns" if hasattr(image, "read") else ""
        raise DataError(
            f"{where}: image must be a path, bytes, a PIL image or a numpy array; got {short_repr(image)}{hint}"
        )
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not fits or 0 in image.shape:
        raise DataError(
            f"{where}: an image array must be uint8 (H, W), (H, W, 3) or (H, W, 4); got {image.dtype} {image.shape}"
        )
    return Image.fromarray(image)


def _opened(image: Image.Image, where: str) -> Image.Image:
    if 0 in image.size or image.mode == "F":
        raise DataError(
            f"{where}: an image must have 8 bits a channel and at least one pixel; got mode {image.mode}, "
            f"{image.width} x {image.height}"
        )
    if isinstance(image, ImageFile) and image.fp is None and getattr(image, "_im", image) is None:
        raise DataError(f"{where}: the image is closed; give its path, or call its load() before it is closed")
    return image
