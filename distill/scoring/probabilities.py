"""Logits to probabilities, the one place for all that predicts: a label alone, or the labels of a group
together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.groups import GroupColumns
from distill.scoring.metrics import SMALLEST, Probabilities, sigmoid


def to_probabilities(logits: NDArray[np.float32], groups: GroupColumns) -> Probabilities:
    """Probabilities float32 of logits (N, L): the logistic function of each label's; in a group, whose labels
    exclude each other, the softmax of theirs, which add up to 1."""
    probabilities = sigmoid(logits)
    for columns in groups.values():
        probabilities[:, columns] = softmax(logits[:, columns])
    return probabilities


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """exp(z_k) / sum_j exp(z_j) over the last axis, float64, without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    result: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return result


def log_probabilities(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """log(p), finite: the logits of a group, but for what is added to all of them, which a softmax does not see."""
    result: NDArray[np.float64] = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))
    return result
