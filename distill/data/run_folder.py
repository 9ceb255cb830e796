"""The folder of a training run, read without torch: the names of its files, its labels and its settings.

RUN/
  run.json            description of the run, written last: a folder without it is unfinished
  model.safetensors   weights of the best epoch, or of the last one where the folds chose the number of epochs
  tokenizer.json      the text encoder's tokenizer
  text/, image/       Hugging Face configurations of the encoders, so that no hub is needed
  started.json        settings of the run, and content hashes of its examples
  metrics.json        out-of-fold train and dev metrics, and the log of the training
  soft_targets*.npz   a teacher's outputs, for its students; one more file per fold
  control.npz         the outputs of a control experiment
  train.log           everything that the training printed, appended to by --resume
  tracking.json       what trackers call the run, and tensorboard.events/ their curves, if the recipe names some
  retrain.*           of a retrained teacher: its comparison with the one that it started from
  training/           checkpoints of an unfinished training, removed at the end
  replaced/           the run that an unfinished one is to replace, and .kept-by-distill (distill.training.replaced)
  .lock               while a process writes the run (distill.core.storage.lock)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distill.core.errors import ArgumentError, DataError, RunError
from distill.core.settings.columns import Columns
from distill.core.storage.files import read_json
from distill.core.untrusted import short_repr
from distill.data.labels import LabelSet

FORMAT = 6
GROUPS_FORMAT = 7  # of a run with groups of labels, which an earlier version would decide one by one
RUN_FILE = "run.json"
METRICS = "metrics.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
TRAINING = "training"
RESUME = "go on with --resume"
START_FILE = "started.json"
REPLACED, KEPT_MARK = "replaced", ".kept-by-distill"  # without the mark beside it, it is somebody else's folder
STUDY, BEST, COMPARISON = "study.json", "best.toml", "comparison.json"  # of distill tune and compare-teachers
SEARCH, CANDIDATES = "search.json", "candidates"  # of distill search-student, and where its runs are
BASELINES = "baselines.json"  # of distill baseline, beside its run
MAX_LISTED = 3  # entries of a list that is shown whole
SHA256_LENGTH = 64  # hex digits


def describe_non_run(folder: Path) -> str | None:
    """What a finished folder holds if it is not a run, with the next step; None if it may be a run."""
    if (folder / STUDY).is_file() and "verdict" in read_json(folder / STUDY, RunError):
        return (
            f"a finished search, not a run; train by its best with distill train-teacher --recipe {folder / BEST}"
        )
    if (folder / SEARCH).is_file() and read_json(folder / SEARCH, RunError).get("recommendation"):
        return f"a finished search of students, not a run; its runs are in {folder / CANDIDATES}"
    if (folder / COMPARISON).is_file():
        return f"a finished comparison, not a run; its figures are in {COMPARISON}"
    return None


def describe_difference(old: Any, new: Any, where: str = "") -> str:
    """The first difference of two unequal settings, as "with KEY=OLD, not NEW"."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(key for key in {**new, **old} if (key in old, old.get(key)) != (key in new, new.get(key)))
        path = f"{where}.{key}".lstrip(".")
        if key not in old:
            return f"without {path}, which is asked for now"
        if key not in new:
            return f"with {path}, which is not asked for now"
        return describe_difference(old[key], new[key], path)
    before, after = _brief(old), _brief(new)
    return f"with {where}={before}, not {'others' if before == after else after}"


def _brief(value: Any) -> str:
    if isinstance(value, list) and (len(value) > MAX_LISTED or any(map(_is_hash, value))):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    return f"{value[:12]}..." if _is_hash(value) else repr(value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == SHA256_LENGTH


def is_run(folder: Path) -> bool:
    """Whether the folder holds a finished run."""
    return (folder / RUN_FILE).is_file()


def read_run_labels(folder: Path) -> LabelSet:
    """The label set of a finished run, without loading its weights. Raises RunError."""
    tree = read_run(folder)
    names = tree.get("labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{folder / RUN_FILE}: its labels are {short_repr(names)}, not a list of names; train again")
    try:
        return LabelSet(tuple(names)).with_group_columns(tree["thresholds"].get("groups", {}))
    except (KeyError, TypeError, AttributeError, DataError) as error:
        raise RunError(f"{folder / RUN_FILE}: {error}; train again") from error


def read_run_columns(folder: Path) -> Columns:
    """What was said of the columns of the data that a run was trained on. Raises RunError."""
    tree = read_json(folder / START_FILE, RunError) if (folder / START_FILE).is_file() else {}
    try:
        return Columns.of(tree.get("columns") if isinstance(tree, dict) else None)
    except ArgumentError as error:
        raise RunError(f"{folder / START_FILE}: {error}; train again") from error


def weights_sha256(folder: Path) -> str:
    """The recorded SHA-256 of a finished run's weights, without reading them. Raises RunError."""
    return str(read_run(folder).get("sha256"))


def keeps_run(folder: Path) -> bool:
    """Whether there is a run in `REPLACED` that the one in this folder is to replace."""
    return (folder / KEPT_MARK).is_file() and (folder / REPLACED).is_dir()


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a finished run. Raises RunError, also for a run of another format."""
    if not folder.exists():
        raise RunError(f"{folder}: no such folder; give the run of a training")
    if not is_run(folder):
        if description := describe_non_run(folder):
            raise RunError(f"{folder}: {description}")
        state = "an unfinished run; continue it with --resume" if (folder / START_FILE).is_file() else "not a run"
        before = f"; the run that it is to replace is {folder / REPLACED}" if keeps_run(folder) else ""
        raise RunError(f"{folder}: {state} (it has no {RUN_FILE}){before}")
    tree = read_json(folder / RUN_FILE, RunError)
    if not isinstance(tree, dict) or tree.get("format") not in (FORMAT, GROUPS_FORMAT):
        raise RunError(f"{folder / RUN_FILE}: not a run of format {FORMAT}; train again with this version")
    return tree
