"""Which baseline stands beside a model: the one that is asked for, or a finished `baseline` in the same folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from distill.core.arguments import to_path
from distill.core.errors import DistillError, RunError
from distill.core.output.terminal import note, warn
from distill.core.settings.columns import Columns
from distill.core.storage.files import read_json
from distill.data.dataset import Example, Splits
from distill.data.lineage import read_lineage
from distill.data.run_folder import BASELINES, START_FILE, is_run
from distill.runtime.bundle import columns_of, is_bundle, labels_of

NONE = "none"  # turns the comparison off
FOLDER = "baseline"
HINT = "no baseline to compare with; distill baseline --data DATA --out {} makes one, and --baseline names one"

Asked = str | os.PathLike[str] | None


def find_baseline(asked: Asked, model: Path, splits: Splits) -> Path | None:
    """The folder of the baseline of a model that is, or will be, at `model`, for a dataset with the same labels and
    columns; a note says where it is when it was not named, or how to get one. Raises RunError for one that is asked
    for and does not fit."""
    if asked == NONE:
        return None
    if asked is not None:
        folder = to_path("baseline", asked)
        why = "is the model itself" if folder.resolve() == model.resolve() else _unfit(folder, splits)
        if why:
            raise RunError(f"--baseline {folder}: {why}; give another, or {NONE}")
        return folder
    folder = model.parent / FOLDER
    if folder.resolve() == model.resolve():
        return None
    if not is_run(folder) and not is_bundle(folder):
        note(HINT.format(Path("runs") / FOLDER if "snapshots" in model.parts else folder))  # of the hub's cache
    elif why := _unfit(folder, splits):
        note(f"{folder} is not compared with: {why}")
    else:
        note(f"compared with {folder}; choose another with --baseline, or {NONE}")
        return folder
    return None


def baseline_name(folder: Path) -> str:
    """What it is called in tables: the baseline that was chosen when it was made, or its folder's name."""
    chosen = read_json(folder / BASELINES, RunError).get("chosen") if (folder / BASELINES).is_file() else None
    return f"the baseline ({chosen or folder.resolve().name})"


def warn_if_seen(folder: Path, examples: Sequence[Example]) -> None:
    """Say how many of the examples a run has learned from. Raises RunError and ImageError."""
    if (folder / START_FILE).is_file() and (seen := sum(read_lineage(folder).trained_on(examples))):
        warn(f"{baseline_name(folder)} learned from {seen} of these {len(examples)} examples: they flatter it")


def _unfit(folder: Path, splits: Splits) -> str:
    """Why it cannot be compared on this dataset; empty where it can."""
    try:
        if not is_run(folder) and not is_bundle(folder):
            return "neither a finished run nor a Bundle; make one with distill baseline"
        if labels_of(folder) != splits.labels:
            return "it has other labels, or other groups of them, than these data"
        if _names(columns_of(folder)) != _names(splits.columns):
            return "it reads other columns than these; name the columns of both alike, such as --text-column NAME"
    except DistillError as error:
        return str(error).removeprefix(f"{folder}: ")
    return ""


def _names(columns: Columns) -> Columns:
    """Without the folder of images, which is a place and no choice."""
    return replace(columns, images="")
