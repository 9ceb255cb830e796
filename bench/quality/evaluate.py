"""How good a run or a Bundle is on a split: its decisions against the truth, and how far its probabilities hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.quality.eval_set import EvalSet
from bench.quality.leakage import Leakage, leakage
from bench.report.types import Bin, Difference, Indices, to_decisions, to_indices
from bench.runtimes.open_model import OpenModel, probabilities
from distill.core.terminal import output
from distill.data.dataset import without_images, without_texts
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import (
    Decisions,
    Probabilities,
    Quality,
    Targets,
    bootstrap_draws,
    measure_decisions,
    weighted_f1,
)
from distill.scoring.tables import label_table, quality_table
from distill.scoring.thresholds import Thresholds, cross_fitted

BINS = 10  # of a reliability diagram
DRAWS = 2000


@dataclass(frozen=True)
class SplitEvaluation:
    """`quality` is the figure to quote; `thresholds` says where the thresholds come from.

    When a model's thresholds were fitted on the very split that is measured, `quality` uses thresholds fitted on
    other rows of it (5 folds), and `quality_own_thresholds`, which flatters, the model's own; otherwise the latter
    is None. The two others withhold one half of every example. `decided` are the decisions that `quality` measures.
    """

    quality: Quality
    quality_own_thresholds: Quality | None
    quality_text_alone: Quality
    quality_image_alone: Quality
    thresholds: str
    reliability: tuple[Bin, ...]
    decided: Indices


def evaluate(model: OpenModel, eval_set: EvalSet) -> SplitEvaluation:
    """Run every example of `eval_set` through the model and measure its decisions. Raises ImageError,
    RunError for a run that does not say what it was trained on, and BundleError for a model that fails."""
    thresholds, targets = model.thresholds, eval_set.targets
    seen = leakage(model.folder, thresholds, eval_set)
    whole = probabilities(model, eval_set.examples)
    halves = [probabilities(model, half(eval_set.examples)) for half in (without_images, without_texts)]
    decisions = [decide(thresholds, seen, eval_set, whole, p) for p in (whole, *halves)]

    def measured(p: Probabilities, decided: Decisions) -> Quality:
        names, groups = model.labels.names, thresholds.groups
        return measure_decisions(names, targets, p, decided, thresholds.array(), groups)

    quality, text_alone, image_alone = map(measured, (whole, *halves), decisions)
    return SplitEvaluation(
        quality=quality,
        quality_own_thresholds=measured(whole, thresholds.apply(whole)) if seen.fitted else None,
        quality_text_alone=text_alone,
        quality_image_alone=image_alone,
        thresholds=seen.source(thresholds, eval_set.split),
        reliability=reliability(targets, whole),
        decided=to_indices(decisions[0]),
    )


def decide(
    thresholds: Thresholds,
    seen: Leakage,
    eval_set: EvalSet,
    p: Probabilities,
    applied_to: Probabilities | None = None,
) -> Decisions:
    """The decisions (N, L) to count, cross-fitted on `p` where the thresholds were fitted on these very examples;
    `applied_to` are other probabilities of the same examples, to be decided in its place."""
    if seen.fitted:
        rates = np.array(eval_set.train_rates)
        return cross_fitted(p, eval_set.targets, thresholds.objective, applied_to, rates, thresholds.groups)
    return thresholds.apply(p if applied_to is None else applied_to)


def reliability(targets: Targets, p: Probabilities) -> tuple[Bin, ...]:
    """Equal-width bins over all (example, label) pairs that have any (Niculescu-Mizil and Caruana 2005)."""
    known = ~np.isnan(targets)
    probability, gold = p[known].astype(np.float64), targets[known] == 1
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            mean_probability=float(probability[place == i].mean()),
            frequency=float(gold[place == i].mean()),
            count=int((place == i).sum()),
        )
        for i in range(BINS)
        if (place == i).any()
    )


def difference(reference: str, targets: Targets, theirs: Indices, ours: Indices) -> Difference:
    """Ours minus theirs on the same examples, bootstrapped over examples in pairs."""
    a, b = (to_decisions(decided, targets.shape[1]) for decided in (theirs, ours))
    draws = bootstrap_draws(len(targets), DRAWS, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, len(targets))), draws])  # the whole data first
    pairs = zip(weighted_f1(targets, a, weights), weighted_f1(targets, b, weights), strict=True)
    micro, macro = (Estimate.of(y[0] - x[0], y[1:] - x[1:]) for x, y in pairs)
    return Difference(reference, micro, macro, int((a != b).sum()), a.size)


def show(evaluation: SplitEvaluation, eval_set: EvalSet) -> None:
    """Print the tables of one split, beside the constant predictor."""
    e = evaluation
    rows = [(f"{eval_set.split}, thresholds {e.thresholds}", e.quality)]
    if e.quality_own_thresholds is not None:
        rows.append((f"{eval_set.split}, thresholds fitted on it (flatters)", e.quality_own_thresholds))
    rows += [
        (f"{eval_set.split}, text alone", e.quality_text_alone),
        (f"{eval_set.split}, image alone", e.quality_image_alone),
    ]
    output.print(quality_table("Quality", rows, eval_set.constant))
    output.print(label_table(e.quality))
