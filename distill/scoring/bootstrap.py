"""Several models on the same examples, over seeds: a paired bootstrap. Knows outputs, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.scoring.estimate import Estimate
from distill.scoring.metrics import (
    Decisions,
    Probabilities,
    Targets,
    bootstrap_draws,
    weighted_f1,
)

MetricDraws = dict[str, NDArray[np.float64]]  # (1 + ROUNDS,) by name: micro, macro, balanced, micro_ap

ROUNDS = 2000
CHUNK = 100  # draws at once: bounds the memory


@dataclass(frozen=True)
class ArmMetrics:
    """F1 of one arm's decisions and average precision of its probabilities, the mean over its seeds."""

    micro_f1: Estimate
    macro_f1: Estimate
    micro_ap: Estimate


class PairedBootstrap:
    """The bootstrap's draws, one set for every arm. Index 0 is the data as they are."""

    def __init__(self, rows: int, seeds: int) -> None:
        generator = np.random.default_rng(0)
        self.weights = np.concatenate([np.ones((1, rows)), bootstrap_draws(rows, ROUNDS, generator)])
        drawn = bootstrap_draws(seeds, ROUNDS, generator)
        self.seed_shares = np.concatenate([np.ones((1, seeds)), drawn]) / seeds

    def metric_draws(
        self, targets: Targets, outputs: Sequence[Probabilities], decisions: Sequence[Decisions]
    ) -> MetricDraws:
        """F1 and AP in each draw, (1 + ROUNDS,), by name; the mean over the seeds drawn."""
        micro, macro = zip(*(weighted_f1(targets, made, self.weights) for made in decisions), strict=True)
        shares = self.seed_shares if len(decisions) > 1 else np.ones((1 + ROUNDS, 1))
        ap = [self._average_precision(targets, p) for p in outputs]
        means = [(np.stack(part, axis=1) * shares).sum(1) for part in (micro, macro, ap)]
        return {"micro": means[0], "macro": means[1], "balanced": (means[0] + means[1]) / 2, "micro_ap": means[2]}

    def _average_precision(self, targets: Targets, probabilities: Probabilities) -> NDArray[np.float64]:
        """Of all (example, label) pairs as one list, in each draw: an example drawn twice counts twice."""
        order = np.argsort(-probabilities.ravel(), kind="stable")
        gold, rows = targets.ravel()[order] > 0.5, order // targets.shape[1]
        result = np.zeros(len(self.weights))
        for start in range(0, len(self.weights), CHUNK):
            weights = self.weights[start : start + CHUNK, rows]
            hits = weights * gold
            precision = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(weights, axis=1), 1e-9)
            result[start : start + CHUNK] = (precision * hits).sum(1) / np.maximum(hits.sum(1), 1e-9)
        return result


def arm_metrics(scores: MetricDraws) -> ArmMetrics:
    """The figures of one arm, from what `PairedDraws.scores` gives."""
    return ArmMetrics(*(estimate(scores[key]) for key in ("micro", "macro", "micro_ap")))


def paired_difference(scores: MetricDraws, other: MetricDraws) -> dict[str, Estimate]:
    """What one arm has more than another, by the names of the scores, draw by draw."""
    return {key: estimate(scores[key] - other[key]) for key in scores}


def estimate(draws: NDArray[np.float64]) -> Estimate:
    """The value on the data as they are, and its interval, from draws (1 + ROUNDS,)."""
    return Estimate.of(draws[0], draws[1:])
