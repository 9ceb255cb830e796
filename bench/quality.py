"""How good a run or a Bundle is on a split. Knows outputs and thresholds, no time or memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import OpenVinoPredictor
from bench.variants import Runtime
from distill.bundle import Bundle, is_bundle
from distill.data import Example, Splits, without_pictures, without_texts
from distill.errors import BenchError
from distill.labels import LabelSet
from distill.metrics import (
    Constant,
    Probabilities,
    Quality,
    constant_predictor,
    measure,
    measure_decisions,
    sigmoid,
)
from distill.terminal import label_table, output, quality_table
from distill.thresholds import Thresholds, cross_fitted


@dataclass(frozen=True)
class Judged:
    """`honest` is the figure to quote; `thresholds` says where the thresholds come from.

    When a model's thresholds were fitted on the very split that is judged, `honest` uses thresholds
    fitted on other rows of it (5 folds), and `flattering` the model's own; otherwise the latter is None.
    `text_alone` and `picture_alone` are as honest, with the other half of every example withheld.
    """

    honest: Quality
    flattering: Quality | None
    text_alone: Quality
    picture_alone: Quality
    thresholds: str


def labels_of(folder: Path) -> LabelSet:
    """The label set of a run or a Bundle. Raises RunError or BundleError."""
    if is_bundle(folder):
        return Bundle.open(folder).labels
    from distill.checkpoint import labels_of as labels_of_run

    return labels_of_run(folder)


def judge(folder: Path, split: str, examples: Sequence[Example], runtime: Runtime | None = None) -> Judged:
    """Run every example through the run or Bundle and measure its decisions; `runtime` names another one than
    its own.

    Raises BenchError when no example has a label, as in a test split whose truth is kept secret.
    """
    if not any(example.labels for example in examples):
        raise BenchError(f"no example of {split} has a label, so nothing can be measured; choose another --split")
    labels, thresholds, answer = _open(folder, runtime)
    targets = labels.encode([example.labels for example in examples])
    both = answer(examples)
    fitted_here = thresholds.rest_on(split)

    def honest(p: Probabilities) -> Quality:
        if not fitted_here:
            return measure(labels.names, targets, p, thresholds.array())
        decisions = cross_fitted(both, targets, thresholds.objective, applied_to=p)
        return measure_decisions(labels.names, targets, p, decisions, thresholds.array())

    return Judged(
        honest=honest(both),
        flattering=measure(labels.names, targets, both, thresholds.array()) if fitted_here else None,
        text_alone=honest(answer(without_pictures(examples))),
        picture_alone=honest(answer(without_texts(examples))),
        thresholds=f"cross-fitted on {split}" if fitted_here else f"fitted on {thresholds.fitted_on}",
    )


def show(judged: Judged, splits: Splits, split: str) -> None:
    """Print the tables of one split, beside the constant predictor."""
    rows = [(f"{split}, thresholds {judged.thresholds}", judged.honest)]
    if judged.flattering is not None:
        rows.append((f"{split}, thresholds fitted on it (flatters)", judged.flattering))
    rows += [(f"{split}, text alone", judged.text_alone), (f"{split}, picture alone", judged.picture_alone)]
    output.print(quality_table("Quality", rows, constant_on(splits, split)))
    output.print(label_table(judged.honest))


def constant_on(splits: Splits, split: str) -> Constant:
    """The constant predictor of the training split, scored on `split`."""
    parts = (splits.train, splits.named(split))
    train, here = (splits.labels.encode([example.labels for example in part]) for part in parts)
    return constant_predictor(splits.labels.names, train, here)


def _open(
    folder: Path, runtime: Runtime | None
) -> tuple[LabelSet, Thresholds, Callable[[Sequence[Example]], Probabilities]]:
    if is_bundle(folder):
        from export.runtime import Predictor

        predictor = OpenVinoPredictor(folder, 0) if runtime == "OpenVINO" else Predictor.load(folder)
        return predictor.bundle.labels, predictor.bundle.thresholds, predictor.probabilities
    from distill.checkpoint import Checkpoint

    run = Checkpoint.load(folder)
    return run.classifier.labels, run.thresholds, lambda examples: sigmoid(run.logits(examples))
