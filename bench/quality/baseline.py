"""What a baseline answers on the examples of a benchmark."""

from __future__ import annotations

from pathlib import Path

from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import answers
from bench.quality.leakage import leakage
from bench.runtimes.open_model import open_variant, probabilities
from bench.runtimes.variants import variant_from_path
from distill.core.errors import DistillError
from distill.core.output.terminal import note
from distill.data.dataset import Splits
from distill.runtime.baseline import Asked, baseline_name, find_baseline, warn_if_seen
from distill.scoring.baseline import BaselineAnswers


def answers_beside(
    model: Path, asked: Asked, splits: Splits, eval_set: EvalSet, margin: float
) -> BaselineAnswers | None:
    """Those of the baseline that is asked for, or else stands beside the model; None without one. Raises as
    `find_baseline` and `answers_of_baseline` for one that is asked for; what is wrong with another is said."""
    folder = find_baseline(asked, model, splits)
    if folder is None:
        return None
    try:
        return answers_of_baseline(folder, eval_set, margin)
    except DistillError as error:
        if asked is not None:
            raise
        note(f"{error}; it is not compared with")
        return None


def answers_of_baseline(folder: Path, eval_set: EvalSet, margin: float) -> BaselineAnswers:
    """Run the run or Bundle in `folder` over the examples. Raises as `bench.quality.evaluate.evaluate`."""
    model = open_variant(variant_from_path(folder))
    warn_if_seen(folder, eval_set.examples)
    seen = leakage(folder, model.thresholds, eval_set)
    answered = answers(model.thresholds, seen, eval_set, probabilities(model, eval_set.examples))
    return BaselineAnswers(baseline_name(folder), eval_set.rows, answered, margin)
