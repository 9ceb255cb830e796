"""A teacher's losses: focal or asymmetric, with weights for rare labels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.core.errors import RecipeError
from distill.core.settings.recipe import Asymmetric, TeacherConfig
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.scoring.metrics import Targets, positive_rates
from distill.training.focal import elementwise_focal_loss
from distill.training.groups import apart, mean_over_decisions, with_group_losses
from distill.training.trainer import Loss

BETA = 0.999  # of class-balanced weights: beyond about 1 / (1 - BETA) positives, more do not lower the weight
ALPHA_RANGE = (0.05, 0.95)  # of alphas from label counts


def teacher_loss(config: TeacherConfig, targets: Targets, groups: GroupColumns = NO_GROUPS) -> Loss:
    """The recipe's loss; `targets` (N, L) are those of the training split, whose counts weight the labels. Raises
    RecipeError for a loss that does not know groups."""
    check_loss(config, groups)
    alpha, weights = torch.full((targets.shape[1],), config.focal.alpha), torch.ones(targets.shape[1])
    if config.class_weights == "focal_alpha":
        alpha = torch.from_numpy(alpha_from_rates(targets))
        grouped = [place for columns in groups.values() for place in columns]
        weights[grouped] = alpha[grouped]  # of the true label: a group has no negatives to weigh against
    elif config.class_weights == "effective_number":
        weights = torch.from_numpy(class_balanced_weights(targets))
    has_alpha = config.focal.alpha >= 0 or config.class_weights == "focal_alpha"

    def loss(outputs: Outputs[Tensor], batch: BatchTargets) -> Tensor:
        logits, labels = outputs.logits, batch.labels
        if config.loss == "asymmetric":
            elements = elementwise_asymmetric_loss(logits, labels, config.asymmetric)
        else:
            gamma = config.focal.gamma
            own_alpha = alpha.to(logits) if has_alpha else None
            elements = elementwise_focal_loss(apart(logits, groups), labels, gamma, own_alpha)
            elements = with_group_losses(elements, logits, labels, gamma, groups)
        return mean_over_decisions(elements * weights.to(logits), labels, groups)

    return loss


def check_loss(config: TeacherConfig, groups: GroupColumns) -> None:
    """Raise RecipeError for a loss that does not know groups."""
    if groups and config.loss == "asymmetric":
        raise RecipeError(
            f"teacher.loss=asymmetric is for labels that are decided apart, and exactly one is of the group "
            f"{next(iter(groups))!r}; set teacher.loss=focal"
        )


def elementwise_asymmetric_loss(logits: Tensor, targets: Tensor, config: Asymmetric) -> Tensor:
    """-y (1 - p)^g+ log p - (1 - y) q^g- log(1 - q), q = max(p - clip, 0), float (B, L).

    Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", eq. 4 to 7: easy negatives weigh less
    than easy positives, and negatives with a probability below `clip` nothing. logits and targets float (B, L),
    targets in [0, 1], or NaN, unknown, which counts as 0.
    """
    targets = torch.nan_to_num(targets)
    p = torch.sigmoid(logits)
    q = (p - config.clip).clamp(min=0)
    positive = targets * (1 - p) ** config.gamma_positive * torch.nn.functional.logsigmoid(logits)
    negative = (1 - targets) * q**config.gamma_negative * torch.log1p(-q.clamp(max=1 - 1e-6))
    return -(positive + negative)


def alpha_from_rates(targets: Targets) -> NDArray[np.float32]:
    """1 - the label's rate, (L,), within ALPHA_RANGE: the rarer a label, the more its positives weigh."""
    alpha: NDArray[np.float32] = np.clip(1 - positive_rates(targets), *ALPHA_RANGE).astype(np.float32)
    return alpha


def class_balanced_weights(targets: Targets) -> NDArray[np.float32]:
    """(1 - b) / (1 - b^n) for each label with n positives, (L,), scaled to a mean of 1; n is at least 1.

    Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", eq. 3.
    """
    positives = np.maximum(np.nansum(targets, axis=0), 1)
    weights = (1 - BETA) / (1 - BETA**positives)
    scaled: NDArray[np.float32] = (weights / weights.mean()).astype(np.float32)
    return scaled
