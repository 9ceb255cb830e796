"""The accuracy of groups of labels that exclude each other: how often the one that is decided is the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.data.groups import ONE_LABEL, GroupColumns
from distill.scoring.estimate import Estimate, bootstrap_draws

ACCURACY = "accuracy"


@dataclass(frozen=True)
class GroupQuality:
    """How often the label that is decided is the true one, of a group of labels that exclude each other, on the
    examples where that is known."""

    name: str
    examples: int
    accuracy: Estimate

    @property
    def title(self) -> str:
        """What the figure is called."""
        return accuracy_of(self.name)


def accuracy_of(group: str) -> str:
    """What the accuracy of a group is called."""
    return ACCURACY if group == ONE_LABEL else f"{ACCURACY} of {group}"


def group_hits(
    targets: NDArray[np.float32], decisions: NDArray[np.bool_], columns: tuple[int, ...]
) -> NDArray[np.float64]:
    """Of each example, 1 if the label that is decided in the group of these columns is the true one, 0 if not, and
    NaN where that is unknown, (N,)."""
    own = targets[:, columns]
    hits = ((own == 1) & decisions[:, columns]).any(axis=1).astype(np.float64)
    return np.where(np.isnan(own).any(axis=1), np.nan, hits)


def weighted_accuracy(hits: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of `group_hits` (N,) in R rounds, (R,), where weights (R, N) are how often each example counts; 0
    where none does."""
    known = ~np.isnan(hits)
    total: NDArray[np.float64] = weights @ np.nan_to_num(hits) / np.maximum(weights @ known.astype(np.float64), 1)
    return total


def measure_groups(
    targets: NDArray[np.float32],
    decisions: NDArray[np.bool_],
    groups: GroupColumns,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[GroupQuality, ...] | None:
    """The accuracy of each group, with percentile bootstrap intervals over examples; None without groups."""
    if not groups:
        return None
    draws = np.vstack([np.ones(len(targets)), bootstrap_draws(len(targets), rounds, np.random.default_rng(seed))])
    result = []
    for name, columns in groups.items():
        hits = group_hits(targets, decisions, columns)
        values = weighted_accuracy(hits, draws)
        result.append(GroupQuality(name, int((~np.isnan(hits)).sum()), Estimate.of(values[0], values[1:])))
    return tuple(result)
