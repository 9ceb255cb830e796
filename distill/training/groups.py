"""What training does for labels that exclude each other: softmax in place of logistic losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.groups import GroupColumns


def apart(logits: Tensor, groups: GroupColumns) -> Tensor:
    """Logits (B, L) for the losses of labels that are decided apart: 0 in the columns of groups, whose losses are
    put there afterwards, so that no gradient of theirs is infinite."""
    if not groups:
        return logits
    logits = logits.clone()
    for columns in groups.values():
        logits[:, columns] = 0
    return logits


def with_group_losses(
    elements: Tensor, logits: Tensor, targets: Tensor, gamma: float, groups: GroupColumns
) -> Tensor:
    """`elements` float (B, L), the losses of labels that are decided apart, with those of groups in their columns:
    -y_k (1 - p_k)^gamma log p_k, where p is the softmax of a group's logits and y_k is 1 for the true label.

    Their sum over a group is cross-entropy for gamma 0, else the focal loss of Lin et al. 2018, "Focal Loss for
    Dense Object Detection", section 3.2, for several classes. logits and targets are (B, L), targets 0, 1 or NaN.
    """
    if not groups:
        return elements
    elements = elements.clone()
    for columns in groups.values():
        log_p = F.log_softmax(logits[:, columns], dim=1)
        others = (-torch.expm1(log_p)).clamp(min=1e-7)  # 1 - p; a power below 1 of 0 has no gradient
        loss = -torch.nan_to_num(targets[:, columns]) * others**gamma * log_p
        elements[:, columns] = loss.to(elements.dtype)
    return elements


def with_group_divergences(elements: Tensor, logits: Tensor, teacher: Tensor, groups: GroupColumns) -> Tensor:
    """`elements` float (B, L), the divergences of labels that are decided apart, with those of groups in their
    columns, whose sum over a group is KL(softmax(teacher) || softmax(logits)); both (B, L), divided by the
    temperature."""
    if not groups:
        return elements
    elements = elements.clone()
    for columns in groups.values():
        log_p, log_q = (F.log_softmax(part[:, columns], dim=1) for part in (logits, teacher))
        elements[:, columns] = (log_q.exp() * (log_q - log_p)).to(elements.dtype)
    return elements


def mean_over_decisions(elements: Tensor, targets: Tensor, groups: GroupColumns) -> Tensor:
    """The sum of the elements (B, L) whose targets are known, which are not NaN, divided by the number of decisions
    that they are about: one a label, and one a group. 0 if there are none."""
    known = ~torch.isnan(targets)
    if not groups:
        return (elements * known).sum() / known.sum().clamp(min=1)
    share = elements.new_ones(elements.shape[1])
    for columns in groups.values():
        share[list(columns)] = 1 / len(columns)
    return (elements * known).sum() / (known * share).sum().clamp(min=1)


def centred(logits: Tensor, groups: GroupColumns) -> Tensor:
    """Logits (B, L), those of a group less their mean: a softmax does not see what is added to all of them."""
    if not groups:
        return logits
    logits = logits.clone()
    for columns in groups.values():
        logits[:, columns] = logits[:, columns] - logits[:, columns].mean(dim=1, keepdim=True)
    return logits
