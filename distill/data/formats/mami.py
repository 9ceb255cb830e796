"""MAMI, SemEval-2022 Task 5 (Fersini et al. 2022): columns of 0 and 1 for misogyny and four kinds of it.

training.csv, separated by tabs, holds file_name, the five labels and "Text Transcription"; Test.csv has no labels,
which are in test_labels.txt, without a header.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, read_input
from distill.core.untrusted import is_file
from distill.data.formats.cells import flag, text_of

LABELS = ("misogynous", "shaming", "stereotype", "objectification", "violence")
IMAGE, TEXT = "file_name", "Text Transcription"
TEST_LABELS = "test_labels.txt"


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this form, with all labels, with misogyny alone, or with none."""
    return {IMAGE, TEXT} <= row.keys() and row.keys() - {IMAGE, TEXT} in (set(LABELS), {LABELS[0]}, set())


def convert(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A row of the file `path` in distill's columns. Raises DataError."""
    if LABELS[0] in row:
        labels: dict[str, int | None] | None = {name: flag(row[name]) for name in LABELS if name in row}
    else:
        labels = _test_labels(path).get(str(row[IMAGE]))
    return {"id": row[IMAGE], "text": text_of(row[TEXT]), "image": row[IMAGE], "labels": labels}


def _test_labels(path: Path) -> dict[str, dict[str, int | None]]:
    """The labels in a file of their own, by image; none where there is no such file. Raises DataError."""
    places = [folder / TEST_LABELS for folder in (path.parent, path.parent.parent)]
    file = next((place for place in places if is_file(place)), None)
    return {} if file is None else _read_labels(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_labels(file: Path, changed_ns: int) -> dict[str, dict[str, int | None]]:
    try:
        rows = csv.reader(io.StringIO(read_input(file, MAX_JSON, DataError).decode("utf-8-sig")), delimiter="\t")
        return {row[0]: {name: flag(x) for name, x in zip(LABELS, row[1:], strict=True)} for row in rows if row}
    except (ValueError, csv.Error, DataError) as error:
        raise DataError(f"{file}: expected an image and {len(LABELS)} labels of 0 or 1 a line: {error}") from error
