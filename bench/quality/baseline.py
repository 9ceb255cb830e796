"""What a baseline answers on the examples of a benchmark."""

from __future__ import annotations

from pathlib import Path

from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import answers
from bench.quality.leakage import leakage
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import variant_from_path
from distill.core.terminal import warn
from distill.runtime.baseline import baseline_name
from distill.scoring.baseline import BaselineAnswers


def answers_of_baseline(folder: Path, eval_set: EvalSet, margin: float) -> BaselineAnswers:
    """Run the run or Bundle in `folder` over the examples. Raises as `bench.quality.evaluate.evaluate`."""
    model, name = open_variant(variant_from_path(folder)), baseline_name(folder)
    seen = leakage(folder, model.thresholds, eval_set)
    if seen.trained:
        warn(
            f"{name} learned from {seen.trained} of these {len(eval_set.examples)} examples: its figures flatter it"
        )
    return BaselineAnswers(name, eval_set.rows, answers(model, eval_set, seen), margin)
