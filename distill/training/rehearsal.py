"""A training rehearsed for --dry-run: a few real steps on a few real rows, and what they say about the whole."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.errors import RunError
from distill.core.output import terminal
from distill.data.dataset import Example, Splits
from distill.data.run_folder import read_run
from distill.model.checkpoint import Checkpoint
from distill.model.compute import default_device
from distill.model.distributed import world_size
from distill.training.trainer import CheckpointFolder

STEPS = (2, 6)  # of the two rehearsals, whose difference is the time of a step
DEV_ROWS = 32
CHECKPOINTS = 3  # the newest, the best, and one that is being written
STATE_BYTES = 8  # an optimizer's state of one weight: two float32

Sample = Callable[[Splits, CheckpointFolder], Checkpoint]  # trains one epoch


@dataclass(frozen=True)
class TrainingTask:
    """What is to be planned: `trainings` is how often the training split is gone through for all epochs, by folds,
    seeds and arms; `sample` is the same training for one epoch. So many `unlabelled` examples join it."""

    name: str
    batch_size: int
    epochs: int
    trainings: int
    sample: Sample
    unlabelled: int = 0


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would do. `steps` and `seconds` are the most, without early stopping. `run_bytes` are those
    of the finished run, `peak_bytes` of the largest that it takes while it trains."""

    name: str
    train: int
    dev: int
    labels: int
    device: str
    parameters: int
    trainable: int
    batch_size: int
    epochs: int
    trainings: int
    steps: int
    step_ms: float
    seconds: float
    run_bytes: int
    peak_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class _Rehearsal:
    """One epoch over `rows` training examples in `steps` steps: its seconds, those of everything before and after
    it, and what it left."""

    rows: int
    steps: int
    epoch_s: float
    around_s: float
    run_bytes: int
    parameters: int
    trainable: int


def rehearse(task: TrainingTask, splits: Splits, out: Path) -> TrainingPlan:
    """Train twice in a temporary folder, for STEPS steps, and extend the times to the whole. `out` is where the
    training would write. Raises as the training does, and RunError in one of several processes."""
    if world_size() > 1:
        raise RunError("--dry-run rehearses in one process; give it without torchrun or accelerate launch")
    if task.epochs == 0:
        raise RunError("--dry-run times the steps of a training, and a probe (epochs=0) has none; run it itself")
    terminal.note(f"rehearsing {task.name}: {' and '.join(map(str, STEPS))} steps on real rows")
    with tempfile.TemporaryDirectory(prefix="distill-dry-run-") as folder, terminal.silence():
        first, second = (_measure(task, splits, steps, Path(folder) / str(steps)) for steps in STEPS)
    rows = len(splits.train) + task.unlabelled
    steps = math.ceil(rows / task.batch_size)
    more = max(second.steps - first.steps, 1)
    step_s = max(second.epoch_s - first.epoch_s, 0) / more or second.epoch_s / second.steps
    epoch_s = steps * step_s + max(second.epoch_s - second.steps * step_s, 0)
    row_s = max(second.around_s - first.around_s, 0) / max(second.rows - first.rows, 1)
    around_s = second.around_s + (rows + len(splits.dev) - second.rows) * row_s
    checkpoint_bytes = 4 * second.parameters + STATE_BYTES * second.trainable
    return TrainingPlan(
        name=task.name,
        train=len(splits.train),
        dev=len(splits.dev),
        labels=len(splits.labels),
        device=str(default_device()),
        parameters=second.parameters,
        trainable=second.trainable,
        batch_size=task.batch_size,
        epochs=task.epochs,
        trainings=task.trainings,
        steps=steps * task.epochs * task.trainings,
        step_ms=1000 * step_s,
        seconds=around_s + epoch_s * task.epochs * task.trainings,
        run_bytes=second.run_bytes,
        peak_bytes=second.run_bytes + CHECKPOINTS * checkpoint_bytes,
        free_bytes=shutil.disk_usage(next(path for path in out.absolute().parents if path.is_dir())).free,
    )


def _measure(task: TrainingTask, splits: Splits, steps: int, folder: Path) -> _Rehearsal:
    train = _labelled_first(splits.train)[: steps * task.batch_size]
    part = replace(splits, train=train, dev=_labelled_first(splits.dev)[:DEV_ROWS], unlabelled=[])
    folder.mkdir()
    started = time.perf_counter()
    network = task.sample(part, CheckpointFolder(folder, resume=False)).classifier.network
    whole_s = time.perf_counter() - started
    epoch_s = float(read_run(folder)["training"]["seconds"])
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return _Rehearsal(
        rows=len(train),
        steps=math.ceil(len(train) / task.batch_size),
        epoch_s=epoch_s,
        around_s=whole_s - epoch_s,
        run_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        parameters=sum(count for count, _ in counts),
        trainable=sum(count for count, is_trained in counts if is_trained),
    )


def _labelled_first(examples: list[Example]) -> list[Example]:
    """Thresholds cannot be fitted on rows without a label."""
    return sorted(examples, key=lambda example: not example.labels)
