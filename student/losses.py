"""The whole loss of distillation. Knows logits, not where they come from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.focal import focal_loss
from distill.recipe import StudentConfig


def distillation_loss(logits: Tensor, targets: Tensor, teacher: Tensor, config: StudentConfig) -> Tensor:
    """(1 - w) focal(s, y) + w T^2 BCE(s / T, sigmoid(t / T)); s, t logits float (B, L), y in {0, 1}.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, with one
    binary problem per label in place of the softmax; T^2 keeps the gradient's size as T changes.
    Scalar >= 0; w is `distill_weight` and T `temperature`.
    """
    t, w = config.temperature, config.distill_weight
    soft = F.binary_cross_entropy_with_logits(logits / t, torch.sigmoid(teacher / t))
    return (1 - w) * focal_loss(logits, targets, config.focal) + w * t**2 * soft
