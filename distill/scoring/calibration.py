"""Calibrates a model's probabilities: Platt scaling with one slope and an offset for each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.scoring.metrics import Probabilities, Targets, logit

PRIOR = 10.0  # precision of the Gaussian prior that shrinks each label's offset to the shared one
MIN_SLOPE = 0.1  # > 0, so that the order of probabilities is never reversed
MAX_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """Calibrated probability of label l: sigmoid(slope * logit(p) + offsets[l])."""

    slope: float
    offsets: NDArray[np.float64]

    def apply(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """Probabilities (N, L) to calibrated ones, float64 (N, L)."""
        scores = self.slope * logit(probabilities) + self.offsets
        result: NDArray[np.float64] = 1 / (1 + np.exp(-scores))
        return result

    def invert(self, calibrated: NDArray[np.float64]) -> NDArray[np.float32]:
        """Calibrated probabilities (L,) back to the model's probabilities, float32 (L,) in (0, 1)."""
        scores = (logit(calibrated) - self.offsets) / self.slope
        result: NDArray[np.float32] = np.clip(1 / (1 + np.exp(-scores)), 1e-6, 1 - 1e-6).astype(np.float32)
        return result


def calibrate(probabilities: Probabilities, targets: Targets) -> Calibration:
    """Fit a Calibration on probabilities (N, L) and targets (N, L) in {0, 1}.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", with one slope for all labels and partly shared
    offsets: a label with few positives stays near the shared offset. The penalised likelihood is concave; Newton's
    method finds its maximum, with an arrowhead Hessian that is solved by its Schur complement.
    """
    z, y = logit(probabilities).astype(np.float64), targets.astype(np.float64)
    shared, own = np.array([1.0, 0.0]), np.zeros(z.shape[1])
    for _ in range(MAX_STEPS):
        q = 1 / (1 + np.exp(-(shared[0] * z + shared[1] + own)))
        error, weight = q - y, q * (1 - q)
        shared_gradient = np.array([(error * z).sum() + PRIOR * (shared[0] - 1), error.sum()])
        own_gradient = error.sum(0) + PRIOR * own
        corner = np.array([(weight * z).sum(), weight.sum()])
        top = np.array([[(weight * z * z).sum() + PRIOR, corner[0]], [corner[0], corner[1] + 1e-6]])
        side = np.stack([(weight * z).sum(0), weight.sum(0)])
        diagonal = weight.sum(0) + PRIOR
        schur = top - (side / diagonal) @ side.T
        shared_step = np.linalg.solve(schur, shared_gradient - (side / diagonal) @ own_gradient)
        own_step = (own_gradient - side.T @ shared_step) / diagonal
        largest = max(np.abs(shared_step).max(), np.abs(own_step).max())
        damping = min(1.0, 2.0 / largest) if largest > 0 else 1.0
        shared, own = shared - damping * shared_step, own - damping * own_step
        if largest < 1e-9:
            break
    return Calibration(float(max(shared[0], MIN_SLOPE)), shared[1] + own)
