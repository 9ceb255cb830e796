"""Who follows a training: trackers, and the callbacks that Python code passes to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from distill.core.errors import ArgumentError, RunError
from distill.core.storage.files import read_json
from distill.core.tracking import Tracking, flatten, open_tracking
from distill.core.tracking.trackers import Home
from distill.core.untrusted import short_repr
from distill.data.run_folder import METRICS, RUN_FILE
from distill.model.distributed import rank
from distill.training.run_writer import RunStart
from distill.training.trainer import CheckpointFolder, Followers


def check_callbacks(callbacks: Sequence[Any]) -> tuple[Any, ...]:
    """Trainer callbacks, or their classes, one of each for every Trainer. Raises ArgumentError."""
    for callback in callbacks:
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, TrainerCallback):
            raise ArgumentError(
                f"callbacks must be transformers.TrainerCallback objects or classes; got {short_repr(callback)}"
            )
    return tuple(callbacks)


@contextmanager
def follow(
    folder: Path, start: RunStart, resume: bool, report_to: Sequence[str] = (), callbacks: Sequence[Any] = ()
) -> Iterator[CheckpointFolder]:
    """The folder of a run for its training, with those who follow it. When it is trained, its figures are logged:
    every label's F1 and threshold, and the files that hold them and the recipe."""
    names = report_to if rank() == 0 else ()
    params = flatten({"kind": start.kind, start.kind: asdict(start.config)})
    with open_tracking(names, Home.of_run(folder), params, resume) as tracking:
        yield CheckpointFolder(folder, resume, Followers(tracking, check_callbacks(callbacks)))
        if tracking.trackers and (folder / RUN_FILE).is_file():
            _log_run(folder, tracking)


def _log_run(folder: Path, tracking: Tracking) -> None:
    """Log the first quality of metrics.json, the one to quote, label by label, with thresholds."""
    quality = read_json(folder / METRICS, RunError)["quality"][0]
    figures = {name: _value(value) for name, value in quality.items() if isinstance(value, int | float | dict)}
    for label in quality["labels"]:
        figures |= {f"{figure}/{label['name']}": label[figure] for figure in ("f1", "threshold")}
    tracking.log({name: value for name, value in figures.items() if math.isfinite(value)}, 0, "final")
    tracking.log_files([folder / METRICS, folder / RUN_FILE])


def _value(value: Any) -> float:
    return float(value["value"] if isinstance(value, dict) else value)
