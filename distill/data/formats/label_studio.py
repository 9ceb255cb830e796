"""Label Studio's exports, JSON and JSON-MIN: tasks with their data and what annotators chose.

A label counts if more than half of a task's annotators gave it. Where a project has several controls that choose, a
label is "control: choice". What is rated or typed is no label; the format's name says which controls these are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from distill.core.errors import DataError
from distill.core.untrusted import is_file, short_repr
from distill.data.formats.votes import majority

META = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")  # ends of a row in JSON-MIN
NO_LABELS = ("textarea", "rating", "number", "datetime", "pairwise", "ranker", "relation", "videorectangle")
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an uploaded file
MAX_CHOICES = 50  # different values of a control; with more, it holds texts that were typed
FEW_ROWS = 20  # with more, most values of a control that chooses come again
# JSON-MIN does not say what a control is: one of such a name is typed into, however few its values are.
TYPED = re.compile("notes?|comments?|remarks?|explanations?|rationales?|textarea|transcriptions?", re.IGNORECASE)
IMAGE_FOLDERS = ("images", "upload")

Votes = dict[str, list[str]]  # what one annotator chose, by control


def is_full(tree: Any) -> bool:
    """Whether a JSON file is an export with all that Label Studio knows."""
    first = tree[0] if isinstance(tree, list) and tree else None
    return isinstance(first, dict) and isinstance(first.get("data"), dict) and "annotations" in first


def is_min(tree: Any) -> bool:
    """Whether a JSON file is an export in the short form."""
    first = tree[0] if isinstance(tree, list) and tree else None
    return isinstance(first, dict) and {"id", "annotation_id", "annotator"} <= first.keys()


def full_rows(tree: list[Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    """The tasks: the columns of their data, with an id and labels; labels are unknown without an annotation."""
    tasks: list[tuple[dict[str, Any], list[Votes]] | DataError] = []
    for task in tree:
        try:
            tasks.append(({"id": task["id"], **task["data"]}, [_votes(each) for each in _finished(task)]))
        except (TypeError, KeyError, AttributeError, ValueError):
            tasks.append(DataError(f"expected a task with id, data and annotations; got {short_repr(task)}"))
    return _rows(tasks, path)


def min_rows(tree: list[Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    """The tasks of the short form, in which each annotation is a row."""
    controls = _controls(tree)
    tasks: dict[Any, tuple[dict[str, Any], list[Votes]]] = {}
    for row in tree:
        if not isinstance(row, dict) or not isinstance(row.get("id"), int | str):
            raise DataError(f"{path}: expected tasks with an id; got {short_repr(row)}")
        data = {key: value for key, value in row.items() if key not in controls and key not in META}
        votes = {key: _names(row[key]) for key in controls if row.get(key) is not None}
        tasks.setdefault(row["id"], (data, []))[1].append(votes)
    return _rows(list(tasks.values()), path)


def describe(tree: list[Any], path: Path) -> str:
    """What of an export is no label, and which of several controls are, for the format's name."""
    several = ""
    if is_min(tree):
        chosen = _controls(tree)
        unused = sorted({key for row in tree if isinstance(row, dict) for key in _results(row)} - set(chosen))
        several = f" with the choices of {', '.join(map(repr, chosen))}" if len(chosen) > 1 else ""
    else:
        unused = sorted({name for name, kind in _kinds(tree) if kind in NO_LABELS})
    return several + (f" without {', '.join(map(repr, unused))}, which holds no choices" if unused else "")


def _rows(tasks: Iterable[Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    tasks = list(tasks)
    votes = [each for task in tasks if not isinstance(task, DataError) for each in task[1]]
    several = len({control for each in votes for control in each}) > 1
    for task in tasks:
        if isinstance(task, DataError):
            yield task
            continue
        data, chosen = task
        names = [[f"{c}: {n}" if several else n for c, names in each.items() for n in names] for each in chosen]
        row = {key: _local(value, path) for key, value in data.items()}
        yield row | {"labels": majority(names) if names else None}


def _finished(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in task["annotations"] if not each.get("was_cancelled")]


def _votes(annotation: dict[str, Any]) -> Votes:
    """What one annotator chose. Raises ValueError for a result that is not understood."""
    votes: Votes = {}
    for result in annotation.get("result") or ():
        kind = result.get("type")
        if kind not in NO_LABELS and kind in result.get("value", {}):
            votes.setdefault(result["from_name"], []).extend(_names(result["value"][kind]))
    return votes


def _names(value: Any) -> list[str]:
    """The names in a result: a choice, choices, labels of regions, or paths of a taxonomy."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):  # {"choices": [...]}, or a region with "rectanglelabels" and where it is
        return [name for key, part in value.items() if isinstance(part, list) for name in _names(part)]
    if isinstance(value, list):
        return list(dict.fromkeys(name for part in value for name in _names(part)))
    raise ValueError(value)


def _kinds(tree: list[Any]) -> set[tuple[str, str]]:
    """(control, type) of all results of a full export."""
    kinds = set()
    for task in tree:
        for annotation in (task.get("annotations") or ()) if isinstance(task, dict) else ():
            for result in annotation.get("result") or ():
                kinds.add((str(result.get("from_name")), str(result.get("type"))))
    return kinds


def _results(row: dict[str, Any]) -> list[str]:
    """The columns of a row of the short form that hold results: those between its id and its annotator."""
    keys = list(row)
    if "id" not in keys or META[0] not in keys:
        return []
    return keys[keys.index("id") + 1 : keys.index(META[0])]


def _controls(tree: list[Any]) -> list[str]:
    """The columns of results that hold choices."""
    values: dict[str, list[Any]] = {}
    for row in tree:
        for key in _results(row) if isinstance(row, dict) else ():
            values.setdefault(key, []).append(row[key])
    return [key for key, column in values.items() if _are_choices(key, column)]


def _are_choices(name: str, column: list[Any]) -> bool:
    if any(isinstance(value, int | float) for value in column):
        return False  # ratings
    if any(isinstance(value, dict) for value in column):
        return True  # {"choices": [...]}; a typed text is a string or a list
    if any(map(TYPED.fullmatch, re.split(r"[\W_\d]+", name))):
        return False
    texts = [value for value in column if isinstance(value, str)]
    different = set(texts)
    if len(texts) > FEW_ROWS and 2 * len(different) > len(texts):
        return False
    return len(different) <= MAX_CHOICES and not any("\n" in text for text in different)


def _local(value: Any, path: Path) -> Any:
    """A file's name in place of Label Studio's address of it; other values stay as they are."""
    if not isinstance(value, str) or "/" not in value:
        return value
    address = urlsplit(value)
    if address.path.endswith("/data/local-files/") and (names := parse_qs(address.query).get("d")):
        return names[0]
    name = unquote(address.path).rpartition("/")[2]
    candidates = [name, UPLOADED.sub("", name)]
    folders = [path.parent, *(path.parent / folder for folder in IMAGE_FOLDERS)]
    if address.scheme or address.path.startswith("/data/"):
        saved = [each for each in candidates if any(is_file(folder / each) for folder in folders)]
        return saved[0] if saved else name if address.path.startswith("/data/") else value
    return value
