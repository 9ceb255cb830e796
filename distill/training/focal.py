"""The focal loss of Lin et al. 2018 for independent labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.core.recipe import Focal


def focal_loss(logits: Tensor, targets: Tensor, config: Focal) -> Tensor:
    """Mean over the known targets of `elementwise_focal_loss` with the recipe's alpha for every label; a scalar >=
    0."""
    alpha = None if config.alpha < 0 else torch.full_like(logits[0], config.alpha)
    return known_mean(elementwise_focal_loss(logits, targets, config.gamma, alpha), targets)


def known_mean(elements: Tensor, targets: Tensor) -> Tensor:
    """Mean of the elements (B, L) whose targets are known, which are not NaN; 0 if there are none."""
    known = ~torch.isnan(targets)
    return (elements * known).sum() / known.sum().clamp(min=1)


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
