"""Calibrates a model's probabilities: Platt scaling with a slope and an offset for each label, shrunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.scoring.metrics import Targets, logit

SLOPE_PRECISION = 10.0  # of the Gaussian prior that shrinks each label's slope to the mean of all labels'
OFFSET_PRECISION = 16.0  # of the one that shrinks its offset to where its mean probability is its rate
ROUNDS = 5  # of fitting all labels, then the mean slope
NEWTON_STEPS = 30
MIN_SLOPE = 0.05  # > 0, so that the order of a label's probabilities is never reversed
MIN_SPREAD = 1e-9  # of a label's logits; below it they are one value


@dataclass(frozen=True)
class PlattScaling:
    """Calibrated probability of label l: sigmoid(slopes[l] * logit + offsets[l]); both float64 (L,), slopes > 0."""

    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def apply(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (N, L) to calibrated probabilities, float64 (N, L)."""
        return _sigmoid(self.slopes * logits + self.offsets)

    def invert(self, calibrated: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities (L,) in (0, 1) back to the model's logits, float64 (L,)."""
        logits: NDArray[np.float64] = (logit(calibrated) - self.offsets) / self.slopes
        return logits


def fit_platt(
    logits: NDArray[np.floating], targets: Targets, rates: NDArray[np.floating] | None = None
) -> PlattScaling:
    """Fit a PlattScaling on finite logits (N, L) and targets (N, L) in {0, 1}, NaN where unknown.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", for all labels together: the logits of each
    label are standardised, so that neither their scale nor their shift matters, and Gaussian priors shrink the
    slopes to their mean and each offset to the one with which the mean probability is the label's rate. A label
    with few positives so keeps the others' slope and its own rate. `rates` float (L,) in [0, 1] are those of a
    larger sample, such as the training split; without them, `label_rates` of the targets.
    """
    known = ~np.isnan(targets)
    y = np.where(known, targets, 0.0)
    seen = known.sum(0)
    mean = np.where(known, logits, 0.0).sum(0) / np.maximum(seen, 1)
    spread = np.sqrt(np.where(known, (logits - mean) ** 2, 0.0).sum(0) / np.maximum(seen, 1))
    spread = np.where(spread > MIN_SPREAD * np.maximum(np.abs(mean), 1.0), spread, np.inf)
    z = (logits - mean) / spread  # a label with one value for all rows has z = 0
    rate = np.clip(label_rates(targets) if rates is None else rates, 1e-4, 1 - 1e-4)
    shared, slopes = 1.0, np.ones(z.shape[1])
    for _ in range(ROUNDS):
        centre = _offsets_for_rates(shared, z, rate)
        slopes, offsets = _fit_labels(z, y, known, shared, centre)
        shared = max(float(slopes.mean()), MIN_SLOPE)
    slopes = np.maximum(slopes, MIN_SLOPE)
    flat = ~np.isfinite(spread)
    own = np.where(flat, 1.0, slopes / spread)
    return PlattScaling(own, offsets - own * mean)


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
        above = _sigmoid(slope * z + middle).mean(0) > rate
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    centre: NDArray[np.float64] = (low + high) / 2
    return centre


def _fit_labels(
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    known: NDArray[np.bool_],
    shared: float,
    centre: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes and offsets (L,) of the highest penalised likelihood, by Newton's method, all labels at once."""
    slopes, offsets = np.full(z.shape[1], shared), centre.copy()
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(slopes * z + offsets)
        error, weight = np.where(known, p - y, 0.0), np.where(known, p * (1 - p), 0.0)
        slope_gradient = (error * z).sum(0) + SLOPE_PRECISION * (slopes - shared)
        offset_gradient = error.sum(0) + OFFSET_PRECISION * (offsets - centre)
        a = (weight * z * z).sum(0) + SLOPE_PRECISION
        b = (weight * z).sum(0)
        c = weight.sum(0) + OFFSET_PRECISION
        determinant = a * c - b * b  # > 0: the penalised likelihood is strictly concave
        slope_step = (c * slope_gradient - b * offset_gradient) / determinant
        offset_step = (a * offset_gradient - b * slope_gradient) / determinant
        largest = np.maximum(np.abs(slope_step), np.abs(offset_step))
        damping = 1 / np.maximum(largest, 1.0)
        slopes, offsets = slopes - damping * slope_step, offsets - damping * offset_step
        if largest.max() < 1e-9:
            break
    return slopes, offsets


def _sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    return result
