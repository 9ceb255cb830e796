"""The focal loss of Lin et al. 2018 for independent labels, and for groups of labels that exclude each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.core.settings.model_config import Focal
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.training.groups import apart, mean_over_decisions, with_group_losses


def focal_loss(logits: Tensor, targets: Tensor, config: Focal, groups: GroupColumns = NO_GROUPS) -> Tensor:
    """Mean over the known targets of `elementwise_focal_loss` with the recipe's alpha for every label that is
    decided apart, and of `with_group_losses`, which know no positives against negatives and so no alpha; a scalar
    >= 0."""
    alpha = None if config.alpha < 0 else torch.full_like(logits[0], config.alpha)
    elements = elementwise_focal_loss(apart(logits, groups), targets, config.gamma, alpha)
    elements = with_group_losses(elements, logits, targets, config.gamma, groups)
    return mean_over_decisions(elements, targets, groups)


def elementwise_focal_loss(logits: Tensor, targets: Tensor, gamma: float, alpha: Tensor | None) -> Tensor:
    """-a_t (1 - p_t)^gamma log p_t, float (B, L), where p_t is the probability of the true answer.

    Lin et al. 2018, "Focal Loss for Dense Object Detection", eq. 5, with one binary problem per label: `a_t` is
    alpha, float (L,), for a positive and 1 - alpha for a negative, and 1 for both without alpha. logits and targets
    are float (B, L), targets in [0, 1]; those that are NaN, unknown, count as 0, so that all elements are finite.
    """
    targets = torch.nan_to_num(targets)
    log_p_t = -F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = torch.sigmoid(logits)
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = -((1 - p_t) ** gamma) * log_p_t
    return loss if alpha is None else loss * (alpha * targets + (1 - alpha) * (1 - targets))
