"""How good a run or a Bundle is on a split: its decisions against the truth, and how far its probabilities hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.quality.eval_set import EvalSet
from bench.quality.leakage import Leakage, leakage
from bench.report.types import Bin, Difference, Indices, to_decisions, to_indices
from bench.runtimes.open_model import OpenModel, probabilities
from distill.core.output.terminal import note, output
from distill.core.settings.objective import Objective
from distill.core.settings.recipe import MARGIN
from distill.data.dataset import Example, without_images, without_texts
from distill.scoring.answers import Answers
from distill.scoring.baseline import AgainstBaseline, BaselineAnswers
from distill.scoring.bootstrap import MetricDraws, paired_difference
from distill.scoring.metrics import Decisions, Probabilities, Quality, Targets, bootstrap_draws, weighted_f1
from distill.scoring.tables import label_table, quality_table
from distill.scoring.thresholds import Thresholds, cross_calibrated, cross_fitted
from distill.scoring.verdict import Verdict

BINS = 10  # of a reliability diagram
DRAWS = 2000


@dataclass(frozen=True)
class SplitEvaluation:
    """`quality` is the figure to quote; `thresholds` says where the thresholds come from.

    When a model's thresholds were fitted on the very split that is measured, `quality` uses thresholds fitted on
    other rows of it (5 folds), and `quality_own_thresholds`, which flatters, the model's own; otherwise the latter
    is None. The two others withhold one half of every example, and are None where no example has the other one.
    `decided` are the decisions that `quality` measures; `baseline` compares them with a baseline's.
    """

    quality: Quality
    quality_own_thresholds: Quality | None
    quality_text_alone: Quality | None
    quality_image_alone: Quality | None
    thresholds: str
    reliability: tuple[Bin, ...]
    decided: Indices
    baseline: AgainstBaseline | None = None


def evaluate(model: OpenModel, eval_set: EvalSet, baseline: BaselineAnswers | None = None) -> SplitEvaluation:
    """Run every example of `eval_set` through the model and measure its decisions, also in pairs with a `baseline`
    that answered the same. Raises ImageError, RunError for a run that does not say what it was trained on, and
    BundleError for a model that fails."""
    thresholds, rows = model.thresholds, eval_set.rows
    seen = leakage(model.folder, thresholds, eval_set)
    p = probabilities(model, eval_set.examples)
    whole = answers(thresholds, seen, eval_set, p)

    def alone(half: Callable[[Sequence[Example]], list[Example]]) -> Quality:
        return answers(thresholds, seen, eval_set, p, probabilities(model, half(eval_set.examples))).quality(rows)

    own = replace(whole, decisions=thresholds.apply(p), cross_calibrated=None)
    has_text, has_image = any(e.text for e in eval_set.examples), any(e.image for e in eval_set.examples)
    against = None if baseline is None else baseline.against("the model", whole)
    return SplitEvaluation(
        quality=whole.quality(rows),
        quality_own_thresholds=own.quality(rows) if seen.fitted else None,
        quality_text_alone=alone(without_images) if has_text else None,
        quality_image_alone=alone(without_texts) if has_image else None,
        thresholds=seen.source(thresholds, eval_set.split),
        reliability=reliability(rows.targets, whole.over_labels),
        decided=to_indices(whole.decisions),
        baseline=against,
    )


def answers(
    thresholds: Thresholds,
    seen: Leakage,
    eval_set: EvalSet,
    p: Probabilities,
    applied_to: Probabilities | None = None,
) -> Answers:
    """What counts of a model with these probabilities, or of `applied_to`: the decisions of `decide`, and where the
    model's own calibration was fitted on these very examples, probabilities calibrated on other rows of them."""
    own, honest = p if applied_to is None else applied_to, None
    if seen.fitted:
        rates = np.array(eval_set.train_rates)
        honest = cross_calibrated(p, eval_set.targets, applied_to, rates, thresholds.groups)
    return Answers(own, decide(thresholds, seen, eval_set, p, applied_to), thresholds, seen.fitted, honest)


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


def difference(
    reference: str, targets: Targets, theirs: Indices, ours: Indices, objective: Objective, margin: float = MARGIN
) -> Difference:
    """Ours minus theirs on the same examples, bootstrapped over examples in pairs, and judged by the objective."""
    a, b = (to_decisions(decided, targets.shape[1]) for decided in (theirs, ours))
    draws = bootstrap_draws(len(targets), DRAWS, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, len(targets))), draws])  # the whole data first
    before, after = (_f1_draws(targets, decisions, weights) for decisions in (a, b))
    verdict = Verdict.of(after, before, objective, len(targets), margin)
    gains = paired_difference(after, before)
    return Difference(reference, gains["micro"], gains["macro"], int((a != b).sum()), a.size, verdict)


def _f1_draws(targets: Targets, decisions: Decisions, weights: NDArray[np.float64]) -> MetricDraws:
    micro, macro = weighted_f1(targets, decisions, weights)
    return {"micro": micro, "macro": macro, "balanced": (micro + macro) / 2}


def show(evaluation: SplitEvaluation, eval_set: EvalSet) -> None:
    """Print the tables of one split, beside the constant predictor and the baseline."""
    e = evaluation
    rows = [(f"{eval_set.split}, thresholds {e.thresholds}", e.quality)]
    if e.quality_own_thresholds is not None:
        rows.append((f"{eval_set.split}, thresholds fitted on it (flatters)", e.quality_own_thresholds))
    alone = {"text": e.quality_text_alone, "image": e.quality_image_alone}
    rows += [(f"{eval_set.split}, {name} alone", q) for name, q in alone.items() if q is not None]
    if e.baseline is not None:
        origin = e.baseline.thresholds
        rows.append((f"{eval_set.split}, {e.baseline.name}, thresholds {origin}", e.baseline.quality))
    output.print(quality_table("Quality", rows, eval_set.constant))
    output.print(label_table(e.quality))
    if e.baseline is not None:
        note(e.baseline.sentence)
