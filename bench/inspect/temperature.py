"""One temperature for all probabilities, and what it is worth on rows it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.quality.evaluate import DRAWS, reliability
from bench.report.types import Bin
from distill.data.dividing.stratify import stratified_folds
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.calibration import sigmoid64
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import (
    Probabilities,
    Targets,
    bootstrap_draws,
    expected_calibration_error,
    logit,
)
from distill.scoring.probabilities import log_probabilities, softmax
from distill.scoring.thresholds import FOLDS, SEED

BINS = 15  # of the ECE, as everywhere in distill
COLDEST, HOTTEST = 0.01, 100.0  # a model that is right about everything would have the temperature 0
HALVINGS = 60


@dataclass(frozen=True)
class Calibrated:
    """How far probabilities can be trusted: `log_loss` in nats, the mean over decisions, which are (example, label)
    pairs, and one an example for a group of labels of which exactly one is true."""

    ece: float
    log_loss: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Scaling:
    """`temperature` is fitted on all rows. `after` judges every row with a temperature that was fitted on other
    rows, one of `fold_temperatures`; the changes are after minus before, bootstrapped over examples in pairs."""

    temperature: float
    fold_temperatures: tuple[float, ...]
    before: Calibrated
    after: Calibrated
    ece_change: Estimate
    log_loss_change: Estimate


def scaling(probabilities: Probabilities, targets: Targets, groups: GroupColumns = NO_GROUPS) -> Scaling:
    """Both (N, L). Raises DataError when there are fewer rows than folds."""
    after, used = cross_scaled(probabilities, targets, groups)
    weights = bootstrap_draws(len(targets), DRAWS, np.random.default_rng(0))
    known = int((~np.isnan(targets)).sum())
    eces = [np.abs(weights @ _bin_gaps(targets, p)).sum(1) / known for p in (probabilities, after)]
    decisions = _decisions(targets, groups)
    losses = [(weights @ pair_losses(targets, p, groups).sum(1)) / decisions for p in (probabilities, after)]
    before, scaled = (calibrated(targets, p, groups) for p in (probabilities, after))
    return Scaling(
        temperature=fit_temperature(probabilities, targets, groups),
        fold_temperatures=used,
        before=before,
        after=scaled,
        ece_change=Estimate.of(scaled.ece - before.ece, eces[1] - eces[0]),
        log_loss_change=Estimate.of(scaled.log_loss - before.log_loss, losses[1] - losses[0]),
    )


def fit_temperature(probabilities: Probabilities, targets: Targets, groups: GroupColumns = NO_GROUPS) -> float:
    """The T whose sigmoid(logit(p) / T), or softmax(log(p) / T) in a group, has the least log loss against targets;
    both (N, L). Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, per decision.

    The loss is convex in 1/T and its slope there, the sum of z (sigmoid(z / T) - y), grows: halving finds its zero.
    """
    known = ~np.isnan(targets)
    z, y = _logits(probabilities, groups), targets[known].astype(np.float64)
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = (z[known] * (_probabilities(z * np.exp(middle), groups)[known] - y)).sum()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def _logits(probabilities: Probabilities, groups: GroupColumns) -> NDArray[np.float64]:
    z = logit(probabilities)
    for columns in groups.values():
        z[..., columns] = log_probabilities(probabilities[..., columns])
    return z


def _probabilities(z: NDArray[np.float64], groups: GroupColumns) -> NDArray[np.float64]:
    p = sigmoid64(z)
    for columns in groups.values():
        p[..., columns] = softmax(z[..., columns])
    return p


def scale(probabilities: Probabilities, temperature: float, groups: GroupColumns = NO_GROUPS) -> Probabilities:
    """The probabilities whose logits are divided by the temperature: float32, the same shape."""
    return _probabilities(_logits(probabilities, groups) / temperature, groups).astype(np.float32)


def cross_scaled(
    probabilities: Probabilities, targets: Targets, groups: GroupColumns = NO_GROUPS
) -> tuple[Probabilities, tuple[float, ...]]:
    """Probabilities (N, L), each row's scaled with a temperature fitted on other rows only, and the folds'
    temperatures. The folds are those of cross-fitted thresholds."""
    everything, after, used = np.arange(len(targets)), np.empty_like(probabilities), []
    for part in stratified_folds(targets, min(FOLDS, len(targets)), SEED):
        rest = np.setdiff1d(everything, part)
        used.append(fit_temperature(probabilities[rest], targets[rest], groups))
        after[part] = scale(probabilities[part], used[-1], groups)
    return after, tuple(used)


def calibrated(targets: Targets, probabilities: Probabilities, groups: GroupColumns = NO_GROUPS) -> Calibrated:
    """Both (N, L)."""
    return Calibrated(
        ece=expected_calibration_error(targets, probabilities, BINS),
        log_loss=float(pair_losses(targets, probabilities, groups).sum() / _decisions(targets, groups)),
        bins=reliability(targets, probabilities),
    )


def pair_losses(
    targets: Targets, probabilities: Probabilities, groups: GroupColumns = NO_GROUPS
) -> NDArray[np.float64]:
    """Binary cross-entropy of every (example, label) pair, (N, L), in nats, 0 for an unknown target; in a group,
    where one label is true, that one has its cross-entropy and the others 0. Probabilities are kept 1e-6 from 0 and
    1."""
    p = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    losses = np.select([targets == 1, targets == 0], [-np.log(p), -np.log1p(-p)], 0.0)
    for columns in groups.values():
        losses[:, columns] *= targets[:, columns] == 1
    return losses


def _decisions(targets: Targets, groups: GroupColumns) -> int:
    """How many decisions have a known answer."""
    known = ~np.isnan(targets)
    more = sum(int(known[:, columns].sum() - known[:, columns].all(axis=1).sum()) for columns in groups.values())
    return int(known.sum()) - more


def _bin_gaps(targets: Targets, probabilities: Probabilities) -> NDArray[np.float64]:
    """Probability minus truth, summed over each example's labels in each bin: (N, BINS)."""
    p = probabilities.astype(np.float64)
    place, gaps = np.minimum((p * BINS).astype(int), BINS - 1), np.nan_to_num(p - targets)
    return np.stack([(gaps * (place == i)).sum(1) for i in range(BINS)], axis=1)
