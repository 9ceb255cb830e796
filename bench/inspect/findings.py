"""What a model gets right and wrong on a split, as figures. Knows probabilities and truth; draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.inspect.temperature import Scaling, scaling
from bench.inspect.wrong import Wrong, most_wrong
from bench.quality.leakage import Known, known
from bench.quality.task import Task
from bench.runtimes.serving import Served, probabilities
from distill import __version__
from distill.core.errors import BenchError, RecipeError, RunError
from distill.core.files import read_json
from distill.core.schema import build_dataclass
from distill.data.run_folder import METRICS
from distill.model.training_log import TrainLog
from distill.runtime.bundle import is_bundle
from distill.scoring.metrics import (
    ConstantBaseline,
    Decisions,
    Probabilities,
    Quality,
    Targets,
    average_precision,
    confusion_counts,
    measure_decisions,
)
from distill.scoring.thresholds import Thresholds, cross_fitted


@dataclass(frozen=True)
class Confusion:
    """One label's decisions: true positives, false positives, false negatives (missed) and true negatives."""

    name: str
    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True)
class Point:
    """Where decisions stand among a label's precision and recall."""

    recall: float
    precision: float


@dataclass(frozen=True)
class Curve:
    """One label's precision and recall at every distinct probability, the highest first; empty without a
    positive. `at` is the point of the model's own threshold, `honest` that of the decisions that are counted when
    those are cross-fitted; None where nothing is decided for the label, or it has no positive."""

    name: str
    support: int
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    average_precision: float | None
    threshold: float
    at: Point | None
    honest: Point | None


@dataclass(frozen=True)
class Together:
    """How many examples have both labels, gold and decided, (L, L), in the order of the labels; the diagonal is how
    many have the one."""

    gold: tuple[tuple[int, ...], ...]
    predicted: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Findings:
    """All that a page shows. `cross_fitted` says that the thresholds were fitted on this very split, so that every
    example is decided with thresholds of other rows; `known` says whether the model has met the examples.
    `training` is None with the reason in `no_training`."""

    name: str
    split: str
    examples_sha256: str
    distill: str
    thresholds: str
    cross_fitted: bool
    known: Known
    quality: Quality
    constant: ConstantBaseline
    confusion: tuple[Confusion, ...]
    curves: tuple[Curve, ...]
    together: Together
    scaling: Scaling
    training: TrainLog | None
    no_training: str | None
    wrong: tuple[Wrong, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self)


def find(served: Served, task: Task, name: str, folder: Path, worst: int) -> Findings:
    """Run every example through the model once; `folder` is where it stands, and `worst` how many of the most wrong
    examples to name. Raises ImageError, RunError and BenchError."""
    training, met = training_of(folder), known(folder, served.thresholds, task)
    return judged(name, task, served.thresholds, probabilities(served, task.examples), training, worst, met)


def judged(
    name: str,
    task: Task,
    thresholds: Thresholds,
    p: Probabilities,
    training: tuple[TrainLog | None, str | None],
    worst: int,
    met: Known,
) -> Findings:
    """As `find`, of probabilities (N, L) that are known already. Raises BenchError for a lone example."""
    if len(p) < 2:
        raise BenchError(f"{task.split} has one example; a temperature is judged on others than it is fitted on")
    names = task.labels.names
    targets = task.labels.encode([example.labels for example in task.examples])
    decisions = decide(thresholds, met, p, targets)
    return Findings(
        name=name,
        split=task.split,
        examples_sha256=task.sha256(),
        distill=__version__,
        thresholds=met.source(thresholds, task.split),
        cross_fitted=met.fitted,
        known=met,
        quality=measure_decisions(names, targets, p, decisions, thresholds.array()),
        constant=task.constant,
        confusion=confusion(names, targets, decisions),
        curves=curves(names, targets, p, thresholds, decisions if met.fitted else None),
        together=Together(together(targets > 0.5), together(decisions)),
        scaling=scaling(p, targets),
        training=training[0],
        no_training=training[1],
        wrong=most_wrong(names, task.examples, targets, p, decisions, worst),
    )


def decide(thresholds: Thresholds, met: Known, p: Probabilities, targets: Targets) -> Decisions:
    """The decisions that `bench.quality.judge.judge` counts, cross-fitted where the thresholds rest on these."""
    if met.fitted:
        return cross_fitted(p, targets, thresholds.objective)
    return thresholds.apply(p)


def training_of(folder: Path) -> tuple[TrainLog | None, str | None]:
    """A run's log by epoch, or why there is none. Raises RunError for a damaged one."""
    if is_bundle(folder):
        return None, "A Bundle holds no log of a training. Inspect the run that it was exported from to see one."
    if not (folder / METRICS).is_file():
        return None, f"This run has no {METRICS}, where the log of its training would stand."
    tree = read_json(folder / METRICS, RunError)
    log = tree.get("training") if isinstance(tree, dict) else None
    try:
        found = build_dataclass(TrainLog, log, "training")
    except RecipeError as error:
        raise RunError(f"{folder / METRICS}: damaged: {error}; train again") from error
    return (found, None) if found.epochs else (None, "This run's training has no epochs.")


def confusion(names: Sequence[str], targets: Targets, decisions: Decisions) -> tuple[Confusion, ...]:
    """Of every label."""
    found = zip(names, confusion_counts(targets, decisions).T.tolist(), strict=True)
    return tuple(Confusion(name, tp, fp, fn, len(targets) - tp - fp - fn) for name, (tp, fp, fn) in found)


def curves(
    names: Sequence[str],
    targets: Targets,
    p: Probabilities,
    thresholds: Thresholds,
    honest: Decisions | None,
) -> tuple[Curve, ...]:
    """Of every label; `honest` are the decisions that are counted in place of the thresholds' own."""
    own, values, found = thresholds.apply(p), thresholds.array(), []
    for i, name in enumerate(names):
        gold = targets[:, i] > 0.5
        recall, precision = _steps(gold, p[:, i])
        ap, at = average_precision(targets[:, i], p[:, i]), _point(gold, own[:, i])
        counted = None if honest is None else _point(gold, honest[:, i])
        found.append(Curve(name, int(gold.sum()), recall, precision, ap, float(values[i]), at, counted))
    return tuple(found)


def _steps(gold: NDArray[np.bool_], p: NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Recall and precision at each distinct probability, the highest first; examples that tie count together."""
    if not gold.any():
        return (), ()
    order = np.argsort(-p, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    hits = np.cumsum(gold[order])[last_of_tie]
    return tuple((hits / gold.sum()).tolist()), tuple((hits / (last_of_tie + 1)).tolist())


def _point(gold: NDArray[np.bool_], decided: NDArray[np.bool_]) -> Point | None:
    if not gold.any() or not decided.any():
        return None
    hits = int((gold & decided).sum())
    return Point(hits / int(gold.sum()), hits / int(decided.sum()))


def together(marks: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """How many rows of (N, L) have both columns: (L, L)."""
    table = marks.astype(np.int64).T @ marks.astype(np.int64)
    return tuple(tuple(row) for row in table.tolist())
