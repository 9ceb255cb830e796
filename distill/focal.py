"""Focal loss over independent labels. Knows logits and targets, not models."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.recipe import Focal


def focal_loss(logits: Tensor, targets: Tensor, config: Focal) -> Tensor:
    """Mean over (B, L) of -a_t (1 - p_t)^gamma log p_t, p_t the probability of the true answer.

    Lin et al. 2018, "Focal Loss for Dense Object Detection", eq. 5, one binary problem per label: `a_t`
    is alpha for a positive and 1 - alpha for a negative, and 1 for both when alpha < 0. logits and
    targets are float (B, L), targets in [0, 1]; the result is a scalar >= 0.
    """
    log_p_t = -F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = torch.sigmoid(logits)
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = -((1 - p_t) ** config.gamma) * log_p_t
    if config.alpha >= 0:
        loss = loss * (config.alpha * targets + (1 - config.alpha) * (1 - targets))
    return loss.mean()
