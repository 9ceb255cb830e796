"""What a folder was started for, and how another request differs from that. Knows files and JSON, no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.files import read_json

START_FILE = "started.json"
STUDY, BEST, COMPARISON = "study.json", "best.toml", "comparison.json"  # of a search, and of a comparison
FEW = 3  # of a list that is shown whole
HASH = 64  # characters of a SHA-256


def no_run(folder: Path) -> str | None:
    """What stands there when it is finished and no run, and the next step; None where it may be a run."""
    if (folder / STUDY).is_file() and "verdict" in read_json(folder / STUDY, RunError):
        return (
            f"a finished search, not a run; train by its best with distill train-teacher --recipe {folder / BEST}"
        )
    if (folder / COMPARISON).is_file():
        return f"a finished comparison, not a run; its figures are in {COMPARISON}"
    return None


def difference(old: Any, new: Any, where: str = "") -> str:
    """The first value, by its key in unequal tables, that `old` was started with and `new` asks for otherwise."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(key for key in {**new, **old} if (key in old, old.get(key)) != (key in new, new.get(key)))
        path = f"{where}.{key}".lstrip(".")
        if key not in old:
            return f"without {path}, which is asked for now"
        if key not in new:
            return f"with {path}, which is not asked for now"
        return difference(old[key], new[key], path)
    before, after = _brief(old), _brief(new)
    return f"with {where}={before}, not {'others' if before == after else after}"


def _brief(value: Any) -> str:
    if isinstance(value, list) and (len(value) > FEW or any(_is_hash(one) for one in value)):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    return f"{value[:12]}..." if _is_hash(value) else repr(value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == HASH
