"""Turns what Python code passes to a Predictor (dicts, tuples, a DataFrame, images in memory) into items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.dataset import MAX_TEXT, Example
from distill.data.sources import InMemoryExample, Item
from distill.preprocess.text import has_text

KEYS = ("id", "text", "image", "labels")  # of a row; labels are accepted and ignored


def to_item(text: Any = None, image: Any = None, id: Any = "", where: str = "this row") -> Item:
    """One row. None and NaN, which is pandas' empty cell, stand for a missing text or image.

    `image` is a path, an image file's bytes, a PIL image, or a numpy array uint8 (H, W), (H, W, 3) or (H, W, 4).
    Raises DataError for anything else, and for a row that has neither.
    """
    text = "" if _is_missing(text) else text
    if not isinstance(text, str):
        raise DataError(f"{where}: text must be a string; got {short_repr(text)}")
    if len(text) > MAX_TEXT:
        raise DataError(f"{where}: text has {len(text):,} characters, over the limit of {MAX_TEXT:,}; cut it")
    if _is_missing(image):
        if not has_text(text):
            raise DataError(f"{where}: has neither text nor image; give one of them, or both")
        return Example(str(id), text, None, ())
    if isinstance(image, str | PathLike):
        return Example(str(id), text, Path(fspath(image)), ())
    return InMemoryExample(str(id), text, _in_memory(image, where), f"{where}: image")


def to_items(rows: Any) -> Iterator[Item]:
    """Rows of an iterable or of a pandas DataFrame: dicts with the keys of KEYS, or tuples (text, image).

    A row without an id gets its number, from 0. Raises DataError for rows of another shape.
    """
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise DataError(
            f"give a list of rows, such as [{{'text': 'hello', 'image': 'a.jpg'}}]; got {short_repr(rows)}"
        )
    for number, row in enumerate(rows):
        where = f"row {number}"
        if isinstance(row, Mapping):
            unknown = [key for key in row if key not in KEYS]
            if unknown:
                raise DataError(f"{where}: unknown key {short_repr(unknown[0])}; expected {', '.join(KEYS)}")
            id_ = row.get("id")
            yield to_item(row.get("text"), row.get("image"), number if _is_missing(id_) else id_, where)
        elif isinstance(row, tuple | list) and len(row) == 2:
            text, image = row
            yield to_item(text, image, number, where)
        else:
            raise DataError(f"{where}: expected a dict or a tuple (text, image); got {short_repr(row)}")


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT, which are no floats and equal nothing."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _in_memory(image: Any, where: str) -> bytes | Image.Image:
    if isinstance(image, bytes | Image.Image):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"{where}: image must be a path, bytes, a PIL image or a numpy array; got {short_repr(image)}"
        )
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if image.dtype != np.uint8 or not fits or 0 in image.shape:
        raise DataError(
            f"{where}: an image array must be uint8 (H, W), (H, W, 3) or (H, W, 4); got {image.dtype} {image.shape}"
        )
    return Image.fromarray(image)
