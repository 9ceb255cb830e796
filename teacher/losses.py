"""The losses a teacher may be trained with, and what rare labels weigh in them. Knows logits and counts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.core.recipe import Asymmetric, TeacherConfig
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.scoring.metrics import Targets
from distill.training.focal import focal_parts
from distill.training.trainer import Loss

BETA = 0.999  # of class-balanced weights: beyond some 1 / (1 - BETA) positives, more of them weigh no less
ALPHA = (0.05, 0.95)  # bounds of alphas that are taken from counts


def loss_of(config: TeacherConfig, targets: Targets) -> Loss:
    """The recipe's loss; the counts of `targets` (N, L), those of the training split, weigh the labels."""
    alpha, weights = torch.full((targets.shape[1],), config.focal.alpha), torch.ones(targets.shape[1])
    if config.class_weights == "focal_alpha":
        alpha = torch.from_numpy(alpha_of(targets))
    elif config.class_weights == "effective_number":
        weights = torch.from_numpy(class_balanced(targets))

    def loss(outputs: Outputs[Tensor], batch: BatchTargets) -> Tensor:
        logits, labels = outputs.logits, batch.labels
        if config.loss == "asymmetric":
            parts = asymmetric_parts(logits, labels, config.asymmetric)
        else:
            given = None if config.focal.alpha < 0 and config.class_weights != "focal_alpha" else alpha.to(logits)
            parts = focal_parts(logits, labels, config.focal.gamma, given)
        return (parts * weights.to(logits)).mean()

    return loss


def asymmetric_parts(logits: Tensor, targets: Tensor, config: Asymmetric) -> Tensor:
    """-y (1 - p)^g+ log p - (1 - y) q^g- log(1 - q), q = max(p - clip, 0), float (B, L).

    Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", eq. 4 to 7: easy negatives weigh less
    than easy positives, and those with a probability under `clip` nothing at all. logits and targets float (B, L),
    targets in [0, 1].
    """
    p = torch.sigmoid(logits)
    q = (p - config.clip).clamp(min=0)
    positive = targets * (1 - p) ** config.gamma_positive * torch.nn.functional.logsigmoid(logits)
    negative = (1 - targets) * q**config.gamma_negative * torch.log1p(-q.clamp(max=1 - 1e-6))
    return -(positive + negative)


def alpha_of(targets: Targets) -> NDArray[np.float32]:
    """1 - the label's rate, (L,), within ALPHA: the rarer a label, the more a positive of it weighs."""
    result: NDArray[np.float32] = np.clip(1 - targets.mean(0), *ALPHA).astype(np.float32)
    return result


def class_balanced(targets: Targets) -> NDArray[np.float32]:
    """(1 - b) / (1 - b^n) of each label with n positives, (L,), scaled to a mean of 1; a label without any counts
    as one with one.

    Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", eq. 3.
    """
    positives = np.maximum(targets.sum(0), 1)
    weights = (1 - BETA) / (1 - BETA**positives)
    result: NDArray[np.float32] = (weights / weights.mean()).astype(np.float32)
    return result
