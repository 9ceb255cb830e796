"""Which posts a model answers itself, and which it leaves to a person: how sure an answer is, and how sure it must
be so that a stated share of what is answered is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RecipeError
from distill.scoring.metrics import Decisions, Probabilities, Targets

PRECISIONS = (0.8, 0.9, 0.95)  # that cuts are fitted for
RISK = 0.05  # that a cut does not hold its precision on other posts of the same kind
HALVINGS = 40

Bound = Callable[[float, int, float], float]  # of the sum of values in [0, 1], their number and the risk


@dataclass(frozen=True)
class AnswerCut:
    """Answers that are at least this sure have the `precision`; they were the share `coverage` of the posts that
    the cut was fitted on. `confidence` is None where no cut held the precision there."""

    precision: float
    confidence: float | None
    coverage: float

    def check(self) -> None:
        """Raise RecipeError for values that no cut has."""
        values = (self.precision, self.coverage, self.confidence if self.confidence is not None else 0.0)
        if not all(0 <= value <= 1 for value in values):
            raise RecipeError(f"thresholds: {self} has a value that is not in 0..1")


def least_confidence(cuts: Sequence[AnswerCut], precision: float, fitted_on: str) -> float:
    """The confidence from which on answers hold the precision. Raises RecipeError where none is known, with the
    next step; `fitted_on` names the examples."""
    if not cuts:
        raise RecipeError(
            "says nothing of how sure an answer must be, as an earlier version made it; train and export again"
        )
    held = {cut.precision: cut.confidence for cut in cuts}
    others = " or ".join(f"{known:g}" for known, confidence in held.items() if confidence is not None)
    step = f"give {others}" if others else "label more posts and train again"
    if precision not in held:
        known = ", ".join(f"{each:g}" for each in held)
        raise RecipeError(f"knows how sure an answer must be for {known}, not for {precision:g}; {step}")
    if (confidence := held[precision]) is None:
        raise RecipeError(f"cannot hold a precision of {precision:g} on {fitted_on}, however sure it is; {step}")
    return confidence


def answer_confidence(probabilities: Probabilities, decisions: Decisions) -> NDArray[np.float64]:
    """How sure each answer is, float64 (N,) in [0, 1]: the `answer_precision` that is expected if the probabilities
    (N, L) are true, which is the mean probability of the labels decided, and where none is, the product of the
    probabilities that each is not."""
    p = probabilities.astype(np.float64)
    mean = np.where(decisions, p, 0.0).sum(1) / np.maximum(decisions.sum(1), 1)
    sure: NDArray[np.float64] = np.where(decisions.any(1), mean, np.prod(1 - p, axis=1))
    return sure


def answer_precision(targets: Targets, decisions: Decisions) -> NDArray[np.float64]:
    """How right each answer is, float64 (N,) in [0, 1]: the share of the labels decided that are true, as in
    scikit-learn's precision with average="samples"; an answer without a label is right, 1, where no label is true,
    and else wrong, 0. NaN where the targets that it takes are unknown."""
    known = ~np.isnan(targets)
    is_right = decisions & (targets == 1)
    judged = (decisions & known).sum(1)
    share = np.where(judged > 0, is_right.sum(1) / np.maximum(judged, 1), np.nan)
    none_true = np.where((targets == 1).any(1), 0.0, np.where(known.all(1), 1.0, np.nan))
    return np.where(decisions.any(1), share, none_true)


def fit_answer_cuts(probabilities: Probabilities, targets: Targets, decisions: Decisions) -> tuple[AnswerCut, ...]:
    """A cut for each of PRECISIONS. `decisions` should be by thresholds that were fitted on other rows, as
    `cross_fitted` gives them, so that the answers judged are not better than others will be."""
    values = answer_precision(targets, decisions)
    known = ~np.isnan(values)
    confidence = answer_confidence(probabilities, decisions)[known]
    return tuple(_answer_cut(confidence, values[known], precision) for precision in PRECISIONS)


def _answer_cut(confidence: NDArray[np.float64], values: NDArray[np.float64], precision: float) -> AnswerCut:
    cut = fit_cut(confidence, values, precision, hoeffding_low)
    coverage = 0.0 if cut is None else float((confidence >= cut).mean())
    return AnswerCut(precision, cut, coverage)


def fit_cut(
    scores: NDArray[np.floating], values: NDArray[np.floating], least_mean: float, bound: Bound, risk: float = RISK
) -> float | None:
    """The lowest score that is found from which on the mean of `values` (N,) in [0, 1] is at least `least_mean`,
    with all but a small risk, on other rows of the same kind too; None where none is found.

    Selection with guaranteed risk: Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks",
    algorithm 2. Of all cuts, few are tried, by bisection, and each bears its share of the risk, so that the one
    chosen is not the one that chance favoured. The cut lies half-way to the next score, and is 0 where all rows
    together hold.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, sums = scores[order].astype(np.float64), np.cumsum(values[order], dtype=np.float64)
    counts = np.append(np.flatnonzero(np.diff(ranked)) + 1, len(ranked)) if len(ranked) else np.zeros(0, int)
    tries = max(1, math.ceil(math.log2(len(counts) + 1)))
    holds, fails = -1, len(counts)
    while fails - holds > 1:
        middle = (holds + fails) // 2
        count = int(counts[middle])
        if bound(float(sums[count - 1]), count, risk / tries) >= least_mean:
            holds = middle
        else:
            fails = middle
    if holds < 0:
        return None
    count = int(counts[holds])
    return 0.0 if count == len(ranked) else float((ranked[count - 1] + ranked[count]) / 2)


def hoeffding_low(total: float, count: int, risk: float) -> float:
    """The lower bound of the mean of values in [0, 1], of which `count` add up to `total`: the least m with
    count * KL(mean, m) <= log(1 / risk), where KL is that of two coins (Hoeffding 1963, "Probability Inequalities
    for Sums of Bounded Random Variables", theorem 1)."""
    mean = min(total / count, 1.0)

    def divergence(m: float) -> float:
        right = mean * math.log(mean / m) if mean else 0.0
        return right + ((1 - mean) * math.log((1 - mean) / (1 - m)) if mean < 1 else 0.0)

    return _lowest(mean, lambda m: count * divergence(m) <= -math.log(risk))


def clopper_pearson_low(total: float, count: int, risk: float) -> float:
    """The lower bound of a rate, of which `total` of `count` were seen: the least p with P(X >= total) >= risk
    (Clopper and Pearson 1934, "The Use of Confidence or Fiducial Limits")."""
    right = round(total)
    hits = np.arange(right, count + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])  # of factorials
    ways = logs[count] - logs[hits] - logs[count - hits]
    if not right:
        return 0.0

    def is_likely(p: float) -> bool:
        return bool(np.exp(ways + hits * math.log(p) + (count - hits) * math.log1p(-p)).sum() >= risk)

    return _lowest(right / count, is_likely)


def _lowest(high: float, holds: Callable[[float], bool]) -> float:
    """The least value in (0, high) from which on a condition holds, by bisection."""
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
