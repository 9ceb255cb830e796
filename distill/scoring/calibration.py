"""Calibrates a model's probabilities: Platt scaling with a slope and an offset for each label, shrunk; for labels
that exclude each other, one temperature for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.metrics import Probabilities, Targets, logit
from distill.scoring.probabilities import log_probabilities, softmax

MAX_PRECISION = 10.0  # of the Gaussian prior that shrinks each label's slope to the mean of all labels'
OFFSET_PRECISION = 16.0  # of the one that shrinks its offset to where its mean probability is its rate
ROUNDS = 100  # at most, of fitting all labels, then their prior; a dozen is usual
TOLERANCE = 1e-3  # of the mean slope, relative
NEWTON_STEPS = 30
MIN_SLOPE = 0.05  # > 0, so that the order of a label's probabilities is never reversed
MIN_SPREAD = 1e-9  # of a label's logits; below it they are one value
MAX_LOG_TEMPERATURE = 3.0  # of a group, in size: larger logits would differ more between machines
HALVINGS = 50


@dataclass(frozen=True)
class Calibration:
    """Calibrated logit of label l: slopes[l] * logit + offsets[l], slopes > 0; tuples of one length. The labels of
    a group have one slope, the inverse of a temperature, and offsets of 0."""

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    @classmethod
    def of(cls, slopes: NDArray[np.floating], offsets: NDArray[np.floating]) -> Calibration:
        """From arrays (L,)."""
        return cls(tuple(map(float, slopes)), tuple(map(float, offsets)))

    def apply(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (N, L) to calibrated logits, float64 (N, L)."""
        result: NDArray[np.float64] = np.array(self.slopes) * logits + np.array(self.offsets)
        return result

    def undo(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """The inverse of `apply`; also of one row (L,)."""
        result: NDArray[np.float64] = (logits - np.array(self.offsets)) / np.array(self.slopes)
        return result

    def calibrate(self, probabilities: Probabilities, groups: GroupColumns = NO_GROUPS) -> NDArray[np.float64]:
        """Probabilities (N, L) as they are with calibrated logits, float64 (N, L)."""
        return _through_logits(probabilities, groups, self.apply)

    def uncalibrate(self, probabilities: Probabilities, groups: GroupColumns = NO_GROUPS) -> NDArray[np.float64]:
        """Calibrated probabilities (N, L) or (L,) as they were before: the inverse of `calibrate`."""
        return _through_logits(probabilities, groups, self.undo)


def _through_logits(
    probabilities: Probabilities,
    groups: GroupColumns,
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    logits = logit(probabilities)
    for columns in groups.values():
        logits[..., columns] = log_probabilities(probabilities[..., columns])
    changed = change(logits)
    result = sigmoid64(changed)
    for columns in groups.values():
        result[..., columns] = softmax(changed[..., columns])
    return result


def fit_calibration(
    probabilities: Probabilities,
    targets: Targets,
    rates: NDArray[np.floating] | None = None,
    groups: GroupColumns = NO_GROUPS,
) -> Calibration:
    """What calibrates probabilities (N, L) of targets (N, L) in {0, 1}, NaN where unknown: `fit_platt`, with
    `rates` as there, and a temperature (`fit_group_temperature`) for each of `groups`."""
    slopes, offsets = np.ones(targets.shape[1]), np.zeros(targets.shape[1])
    for columns in groups.values():
        own = log_probabilities(probabilities[:, columns])
        slopes[list(columns)] = 1 / fit_group_temperature(own, targets[:, columns])
    apart = np.setdiff1d(np.arange(targets.shape[1]), [place for columns in groups.values() for place in columns])
    if len(apart):
        # Contiguous, as they are without groups: sums in another order end in another last bit.
        logits: NDArray[np.float64] = np.ascontiguousarray(logit(probabilities)[:, apart])
        known: Targets = np.ascontiguousarray(targets[:, apart])
        slopes[apart], offsets[apart] = fit_platt(logits, known, None if rates is None else rates[apart])
    return Calibration.of(slopes, offsets)


@dataclass(frozen=True)
class _Prior:
    """The slopes' mean and precision, and each label's rate (L,)."""

    slope: float
    precision: float
    rates: NDArray[np.float64]


@dataclass(frozen=True)
class _Lines:
    """Of the standardised logits, (L,) each, with the variance of each slope (Laplace's approximation)."""

    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    slope_variances: NDArray[np.float64]


def fit_platt(
    logits: NDArray[np.floating], targets: Targets, rates: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes > 0 and offsets, float64 (L,) each, with which sigmoid(slope * logit + offset) is calibrated, fitted
    on finite logits (N, L) and targets (N, L) in {0, 1}, NaN where unknown.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", for all labels together: the logits of each
    label are standardised, so that neither their scale nor their shift matters, and Gaussian priors shrink the
    slopes to their mean and each offset to the one with which the mean probability is the label's rate. A label
    with few positives so keeps the others' slope and its own rate. The slopes' mean and spread are those of the
    labels themselves (empirical Bayes: the EM updates of Dempster, Laird and Rubin 1977, section 4.5), so that a
    label that is told apart perfectly is not held back by one that is not. `rates` float (L,) in [0, 1] are those
    of a larger sample, such as the training split; without them, `label_rates` of the targets.
    """
    known = ~np.isnan(targets)
    y = np.where(known, targets, 0.0)
    seen = known.sum(0)
    mean = np.where(known, logits, 0.0).sum(0) / np.maximum(seen, 1)
    spread = np.sqrt(np.where(known, (logits - mean) ** 2, 0.0).sum(0) / np.maximum(seen, 1))
    spread = np.where(spread > MIN_SPREAD * np.maximum(np.abs(mean), 1.0), spread, np.inf)
    z = (logits - mean) / spread  # a label with one value for all rows has z = 0
    rate = np.clip(label_rates(targets) if rates is None else rates, 1e-4, 1 - 1e-4)
    prior, lines = _Prior(1.0, MAX_PRECISION, rate), None
    for _ in range(ROUNDS):
        lines = _fit_labels(z, y, known, prior, lines)
        mean_slope = max(float(lines.slopes.mean()), MIN_SLOPE)
        variance = float(((lines.slopes - mean_slope) ** 2 + lines.slope_variances).mean())
        settled = abs(mean_slope - prior.slope) < TOLERANCE * prior.slope
        prior = _Prior(mean_slope, min(MAX_PRECISION, 1 / variance), rate)
        if settled:
            break
    assert lines is not None  # there is a first round
    own = np.where(np.isfinite(spread), np.maximum(lines.slopes, MIN_SLOPE) / spread, 1.0)
    return own, lines.offsets - own * mean


def fit_group_temperature(logits: NDArray[np.floating], targets: Targets) -> float:
    """The temperature T of one group, whose calibrated probabilities are softmax(logits / T), from logits and
    targets (N, K), of which exactly one a row is 1, or all are NaN.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: the T of the least log loss. One
    number for all labels changes neither their order nor the decision, and cannot overfit as an offset for each
    could. A Gaussian prior on log T, of as much weight as one row or two, keeps it finite where every row is right;
    halving finds where the slope of their sum is 0. 1 where no target is known.
    """
    known = ~np.isnan(targets).any(axis=1)
    z, y = logits[known].astype(np.float64), targets[known]
    if not len(z):
        return 1.0
    z = z - z.max(axis=1, keepdims=True)
    low, high = -MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE  # of 1/T
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        scaled = z * np.exp(middle)
        weights = np.exp(scaled)
        p = weights / weights.sum(axis=1, keepdims=True)
        slope = (scaled * (p - y)).sum() + middle  # by log 1/T
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def label_rates(targets: Targets) -> NDArray[np.float64]:
    """The share of positives of each label among its known targets (N, L), float64 (L,) in (0, 1), with half a
    positive and half a negative added (Krichevsky and Trofimov 1981)."""
    rates: NDArray[np.float64] = (np.nansum(targets, axis=0) + 0.5) / ((~np.isnan(targets)).sum(0) + 1)
    return rates


def _offsets_for_rates(slope: float, z: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offsets (L,) with which the mean of sigmoid(slope * z + offset) is `rate`, by bisection."""
    low, high = (logit(rate) + side * (slope * np.abs(z).max() + 1) for side in (-1, 1))
    for _ in range(40):
        middle = (low + high) / 2
        above = sigmoid64(slope * z + middle).mean(0) > rate
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    centre: NDArray[np.float64] = (low + high) / 2
    return centre


def _fit_labels(
    z: NDArray[np.float64], y: NDArray[np.float64], known: NDArray[np.bool_], prior: _Prior, start: _Lines | None
) -> _Lines:
    """The lines of the highest penalised likelihood, by Newton's method, all labels at once."""
    centre = _offsets_for_rates(prior.slope, z, prior.rates)
    slopes, offsets = (np.full(z.shape[1], prior.slope), centre) if start is None else (start.slopes, start.offsets)
    for _ in range(NEWTON_STEPS):
        p = sigmoid64(slopes * z + offsets)
        error, weight = np.where(known, p - y, 0.0), np.where(known, p * (1 - p), 0.0)
        slope_gradient = (error * z).sum(0) + prior.precision * (slopes - prior.slope)
        offset_gradient = error.sum(0) + OFFSET_PRECISION * (offsets - centre)
        a, b = (weight * z * z).sum(0) + prior.precision, (weight * z).sum(0)
        c = weight.sum(0) + OFFSET_PRECISION
        determinant = a * c - b * b  # > 0: the penalised likelihood is strictly concave
        slope_step = (c * slope_gradient - b * offset_gradient) / determinant
        offset_step = (a * offset_gradient - b * slope_gradient) / determinant
        largest = np.maximum(np.abs(slope_step), np.abs(offset_step))
        damping = 1 / np.maximum(largest, 1.0)
        slopes, offsets = slopes - damping * slope_step, offsets - damping * offset_step
        if largest.max() < 1e-8:
            break
    return _Lines(slopes, offsets, c / determinant)


def sigmoid64(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logistic function in float64, without overflow."""
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    return result
