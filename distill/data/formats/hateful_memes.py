"""Hateful Memes (Kiela et al. 2020): JSON Lines with id, img, text and label, which is 1 for a hateful meme."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.data.formats.cells import flag

COLUMNS = {"id", "img", "text", "label"}
LABEL = "hateful"


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this form: an image is named after its id, in five digits."""
    name = str(row.get("img"))
    same = str(row.get("id")).zfill(5) == Path(name).stem
    return same and name.startswith("img/") and {"id", "img", "text"} <= row.keys() <= COLUMNS


def convert(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row in distill's columns; the labels of a test row are unknown."""
    labels = {LABEL: flag(row["label"])} if "label" in row else None
    return {"id": row["id"], "text": row["text"], "image": row["img"], "labels": labels}
