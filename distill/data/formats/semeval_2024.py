"""SemEval-2024 Task 4 (Dimitrov et al. 2024): rows with a link, and persuasion techniques in a hierarchy (subtasks
1 and 2a), or whether a meme is propagandistic at all (subtask 2b)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.hierarchy import with_ancestors

COLUMNS = {"id", "text", "image", "link", "labels", "label"}
PROPAGANDISTIC = {"propagandistic": 1, "non_propagandistic": 0}


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this form; those of an unlabelled split have no labels, and those with other labels in
    subtask 2b's column are somebody's own."""
    is_known = row.get("label") in (*PROPAGANDISTIC, "", None)
    return is_known and {"id", "text", "link"} <= row.keys() <= COLUMNS


def convert(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row in distill's columns, with the labels above its labels. Raises DataError."""
    labels: Any = row.get("labels")
    if "label" in row:
        if row["label"] not in PROPAGANDISTIC:
            raise DataError(f"label must be one of {', '.join(PROPAGANDISTIC)}; got {short_repr(row['label'])}")
        labels = {"propagandistic": PROPAGANDISTIC[row["label"]]}
    elif isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        labels = list(with_ancestors(labels))
    return {"id": row["id"], "text": row["text"], "image": row.get("image"), "labels": labels}
