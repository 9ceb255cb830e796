"""What a model gets right and wrong on a split, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.inspect.selective import Selective, selective
from bench.inspect.temperature import Scaling, scaling
from bench.inspect.wrong import Wrong, most_wrong
from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import answers
from bench.quality.leakage import Leakage, leakage
from bench.report.types import by_support
from bench.runtimes.open_model import OpenModel, probabilities
from distill import __version__
from distill.core.errors import BenchError, RecipeError, RunError
from distill.core.settings.bounds import SHARE, check_bounds
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.data.run_folder import METRICS
from distill.model.training_log import TrainLog
from distill.runtime.bundle import is_bundle
from distill.scoring.baseline import AgainstBaseline, BaselineAnswers
from distill.scoring.metrics import (
    ConstantBaseline,
    Decisions,
    Probabilities,
    Quality,
    Targets,
    average_precision,
    confusion_counts,
)
from distill.scoring.thresholds import Thresholds
from distill.scoring.trade_off import TradeOff, trade_off


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
    """Where decisions are among a label's precision and recall."""

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
    threshold: float | None
    at: Point | None
    honest: Point | None


@dataclass(frozen=True)
class CoOccurrence:
    """How many examples have both labels, gold and decided, (L, L), in the order of the labels; the diagonal is how
    many have the one."""

    gold: tuple[tuple[int, ...], ...]
    predicted: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Subject:
    """A model as its probabilities do not show it. `training` is None with the reason in `no_training`."""

    name: str
    thresholds: Thresholds
    leakage: Leakage
    training: TrainLog | None
    no_training: str | None


@dataclass(frozen=True)
class Findings:
    """All that a page shows. `thresholds` says where the thresholds come from; `training` is None with the reason
    in `no_training`; `baseline` compares the model with a baseline."""

    name: str
    split: str
    examples_sha256: str
    distill: str
    thresholds: str
    leakage: Leakage
    quality: Quality
    constant: ConstantBaseline
    confusion: tuple[Confusion, ...]
    curves: tuple[Curve, ...]
    co_occurrence: CoOccurrence
    scaling: Scaling
    trade_off: tuple[TradeOff, ...]
    selective: Selective
    training: TrainLog | None
    no_training: str | None
    wrong: tuple[Wrong, ...]
    baseline: AgainstBaseline | None = None

    @property
    def cross_fitted(self) -> bool:
        """Whether the thresholds were fitted on this very split: then every example is decided with thresholds of
        other rows."""
        return self.leakage.fitted

    def most_frequent_first(self) -> Findings:
        """The same with the labels in another order."""
        order, together = by_support(self.quality), self.co_occurrence
        gold, predicted = (
            tuple(tuple(table[i][j] for j in order) for i in order) for table in (together.gold, together.predicted)
        )
        return replace(
            self,
            quality=replace(self.quality, labels=tuple(self.quality.labels[i] for i in order)),
            confusion=tuple(self.confusion[i] for i in order),
            curves=tuple(self.curves[i] for i in order),
            co_occurrence=CoOccurrence(gold, predicted),
            selective=replace(self.selective, labels=tuple(self.selective.labels[i] for i in order)),
        )

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self)


def inspect(
    model: OpenModel, eval_set: EvalSet, name: str, worst: int, baseline: BaselineAnswers | None = None
) -> Findings:
    """Run every example through the model once; `worst` is how many of the most wrong examples to name. A
    `baseline` that answered the same is compared with. Raises ImageError, RunError and BenchError."""
    training, reason = training_of(model.folder)
    subject = Subject(name, model.thresholds, leakage(model.folder, model.thresholds, eval_set), training, reason)
    p = probabilities(model, eval_set.examples)
    return findings_of(subject, eval_set, p, worst, baseline)


def findings_of(
    subject: Subject, eval_set: EvalSet, p: Probabilities, worst: int, baseline: BaselineAnswers | None = None
) -> Findings:
    """As `inspect`, of its probabilities (N, L). Raises BenchError for a lone example."""
    if len(p) < 2:
        raise BenchError(
            f"{eval_set.split} has one example; a temperature is judged on others than it is fitted on"
        )
    names, thresholds, seen = eval_set.labels.names, subject.thresholds, subject.leakage
    targets = eval_set.targets
    ours = answers(thresholds, seen, eval_set, p)
    decisions = ours.decisions
    return Findings(
        name=subject.name,
        split=eval_set.split,
        examples_sha256=eval_set.sha256(),
        distill=__version__,
        thresholds=seen.source(thresholds, eval_set.split),
        leakage=seen,
        quality=ours.quality(eval_set.rows),
        constant=eval_set.constant,
        confusion=confusion(names, targets, decisions),
        curves=curves(names, targets, p, thresholds, decisions if seen.fitted else None),
        co_occurrence=CoOccurrence(together(targets == 1), together(decisions)),
        scaling=scaling(ours.over_labels, targets, thresholds.groups),
        trade_off=trade_off(p, targets, None, thresholds.groups),
        selective=selective(names, targets, p, decisions, thresholds),
        training=subject.training,
        no_training=subject.no_training,
        wrong=most_wrong(names, eval_set.examples, targets, p, decisions, worst, thresholds.groups),
        baseline=None if baseline is None else baseline.against("the model", ours),
    )


def training_of(folder: Path) -> tuple[TrainLog | None, str | None]:
    """A run's log by epoch, or why there is none. Raises RunError for a damaged one."""
    if is_bundle(folder):
        return None, "A Bundle holds no log of a training. Inspect the run that it was exported from to see one."
    if not (folder / METRICS).is_file():
        return None, f"This run has no {METRICS}, which holds the log of a training."
    tree = read_json(folder / METRICS, RunError)
    try:
        log = build_dataclass(TrainLog, tree.get("training") if isinstance(tree, dict) else None, "training")
        check_bounds(log, dict.fromkeys(("dev_micro_ap", "dev_macro_ap", "dev_balanced_ap"), SHARE), (0, 1e12))
        if log.epochs and log.best_epoch not in [0, *(each.epoch for each in log.epochs)]:  # 0: the probe
            raise ValueError(f"best_epoch is {log.best_epoch}, which is none of the epochs")
    except (RecipeError, ValueError) as error:
        raise RunError(f"{folder / METRICS}: damaged: {error}; train again") from error
    return (log, None) if log.epochs else (None, "This run's training has no epochs.")


def confusion(names: Sequence[str], targets: Targets, decisions: Decisions) -> tuple[Confusion, ...]:
    """Of every label."""
    known = (~np.isnan(targets)).sum(0).tolist()
    rows = zip(names, known, confusion_counts(targets, decisions).T.tolist(), strict=True)
    return tuple(Confusion(name, tp, fp, fn, count - tp - fp - fn) for name, count, (tp, fp, fn) in rows)


def curves(
    names: Sequence[str],
    targets: Targets,
    p: Probabilities,
    thresholds: Thresholds,
    honest: Decisions | None,
) -> tuple[Curve, ...]:
    """Of every label; `honest` are the decisions that are counted in place of the thresholds' own."""
    own, result = thresholds.apply(p), []
    values = [None if np.isnan(value) else float(value) for value in thresholds.array()]
    for i, name in enumerate(names):
        known = ~np.isnan(targets[:, i])
        gold, scores = targets[known, i] == 1, p[known, i]
        recall, precision = _steps(gold, scores)
        ap, at = average_precision(targets[:, i], p[:, i]), _point(gold, own[known, i])
        counted = None if honest is None else _point(gold, honest[known, i])
        result.append(Curve(name, int(gold.sum()), recall, precision, ap, values[i], at, counted))
    return tuple(result)


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
