"""Paired bootstrap: intervals for the metrics of several models on the same examples, and for their differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from distill.core.settings.objective import Objective
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.accuracy import ACCURACY, accuracy_of, group_hits, weighted_accuracy
from distill.scoring.calibration import label_rates
from distill.scoring.estimate import Estimate, bootstrap_draws
from distill.scoring.metrics import Decisions, Probabilities, Targets, weighted_f1
from distill.scoring.thresholds import cross_calibrated, cross_fitted

# By name (micro, macro and balanced F1, micro_ap, and the accuracy of each group): the value on the data and in
# each draw, (1 + ROUNDS,).
MetricDraws = dict[str, NDArray[np.float64]]

ROUNDS = 2000
CELLS = 10_000_000  # draws times pairs of example and label at once, to bound memory


@dataclass(frozen=True)
class ArmMetrics:
    """The metrics of one arm of an experiment, each the mean over its seeds; `accuracies` are those of groups of
    labels that exclude each other, by what they are called."""

    micro_f1: Estimate
    macro_f1: Estimate
    micro_ap: Estimate
    accuracies: dict[str, Estimate] = field(default_factory=dict)


class PairedBootstrap:
    """Draws of `rows` examples and `seeds` trainings with replacement, the same for every arm, so that differences
    are paired. Draw 0 is the data itself."""

    def __init__(self, rows: int, seeds: int) -> None:
        generator = np.random.default_rng(0)
        self.weights = np.concatenate([np.ones((1, rows)), bootstrap_draws(rows, ROUNDS, generator)])
        seed_counts = bootstrap_draws(seeds, ROUNDS, generator)
        self.seed_shares = np.concatenate([np.ones((1, seeds)), seed_counts]) / seeds

    def metric_draws(
        self,
        targets: Targets,
        outputs: Sequence[Probabilities],
        decisions: Sequence[Decisions],
        groups: GroupColumns = NO_GROUPS,
    ) -> MetricDraws:
        """The metrics of one arm in each draw, the mean over the drawn seeds. `outputs` and `decisions` hold (N, L)
        for each seed, or one for all."""
        micro, macro = zip(*(weighted_f1(targets, one_seed, self.weights) for one_seed in decisions), strict=True)
        shares = self.seed_shares if len(decisions) > 1 else np.ones((1 + ROUNDS, 1))
        ap = [self._average_precision(targets, probabilities) for probabilities in outputs]
        micro_f1, macro_f1, micro_ap = ((np.stack(part, axis=1) * shares).sum(1) for part in (micro, macro, ap))
        metrics = {
            "micro": micro_f1,
            "macro": macro_f1,
            "balanced": (micro_f1 + macro_f1) / 2,
            "micro_ap": micro_ap,
        }
        for name, columns in groups.items():
            hits = [group_hits(targets, one_seed, columns) for one_seed in decisions]
            each = np.stack([weighted_accuracy(of_seed, self.weights) for of_seed in hits], axis=1)
            metrics[accuracy_of(name)] = (each * shares).sum(1)
        return metrics

    def _average_precision(self, targets: Targets, probabilities: Probabilities) -> NDArray[np.float64]:
        """Micro-averaged precision in each draw, (1 + ROUNDS,): over all (example, label) pairs, each counted as
        often as its example is drawn."""
        known = ~np.isnan(targets)
        order = np.argsort(-probabilities[known], kind="stable")
        gold, rows = targets[known][order] == 1, np.nonzero(known)[0][order]
        result = np.zeros(len(self.weights))
        chunk = max(1, CELLS // max(1, len(rows)))
        for start in range(0, len(self.weights), chunk):
            weights = self.weights[start : start + chunk, rows]
            hits = weights * gold
            precision = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(weights, axis=1), 1e-9)
            result[start : start + chunk] = (precision * hits).sum(1) / np.maximum(hits.sum(1), 1e-9)
        return result


def out_of_fold_draws(
    probabilities: Probabilities, targets: Targets, objective: Objective, groups: GroupColumns = NO_GROUPS
) -> MetricDraws:
    """The metrics of out-of-fold probabilities (N, L), before calibration, on the rows that are answered, which NaN
    ones are not; calibration and thresholds are fitted on other rows than those they are judged on."""
    rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    own, gold, rates = probabilities[rows], targets[rows], label_rates(targets)
    decisions = cross_fitted(own, gold, objective, rates=rates, groups=groups)
    honest = cross_calibrated(own, gold, rates=rates, groups=groups)
    return PairedBootstrap(len(rows), 1).metric_draws(gold, [honest], [decisions], groups)


def arm_metrics(draws: MetricDraws) -> ArmMetrics:
    """The metrics of one arm with their intervals."""
    accuracies = {name: estimate(values) for name, values in draws.items() if name.startswith(ACCURACY)}
    micro_f1, macro_f1, micro_ap = (estimate(draws[name]) for name in ("micro", "macro", "micro_ap"))
    return ArmMetrics(micro_f1, macro_f1, micro_ap, accuracies)


def paired_difference(draws: MetricDraws, baseline: MetricDraws) -> dict[str, Estimate]:
    """One arm's metrics minus those of a baseline, by name, with paired intervals."""
    return {name: estimate(draws[name] - baseline[name]) for name in draws}


def estimate(draws: NDArray[np.float64]) -> Estimate:
    """A value and its interval, from the value on the data and in each draw, (1 + ROUNDS,)."""
    return Estimate.of(draws[0], draws[1:])
