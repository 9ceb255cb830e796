"""SemEval-2021 Task 6, subtask 2 (Dimitrov et al. 2021): texts, and the techniques of fragments of them. A text has
the labels of all its fragments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

SPAN = {"start", "end", "technique"}


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this form and has a fragment; those without one say nothing."""
    labels = row.get("labels")
    return (
        {"id", "text", "labels"} <= row.keys()
        and isinstance(labels, list)
        and bool(labels)
        and all(isinstance(each, dict) and each.keys() >= SPAN for each in labels)
    )


def convert(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row in distill's columns. Raises DataError for a label that is no fragment's."""
    fragments = row.get("labels")
    labels: list[str] | None = None
    if fragments is not None:
        if not isinstance(fragments, list):
            raise DataError(f"labels must be a list of fragments; got {short_repr(fragments)}")
        for each in fragments:
            if not isinstance(each, dict) or not isinstance(each.get("technique"), str):
                raise DataError(f"a fragment needs start, end and technique; got {short_repr(each)}")
        labels = list(dict.fromkeys(each["technique"] for each in fragments))
    return {"id": row["id"], "text": row["text"], "image": row.get("image"), "labels": labels}
