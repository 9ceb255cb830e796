"""The rule by which posts are chosen: those whose labels the model is the least sure of, each unlike the others,
with a share for each label."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from distill.scoring.calibration import sigmoid64
from distill.scoring.metrics import Probabilities, logit
from distill.scoring.probabilities import log_probabilities
from distill.scoring.thresholds import Thresholds

Doubts = NDArray[np.float64]  # (N, L) in [0, 0.5], 0.5 at the threshold
Features = NDArray[np.floating]  # (N, W)

POOL = 5  # times as many doubtful rows as are wanted, of which unlike ones are taken


@dataclass(frozen=True)
class Rule:
    """How rows are chosen: at least `per_label` for the doubt about each label, the others for the doubt about all
    labels together. Of the `pool` times as many most doubtful rows, those nearest to the centres of as many
    clusters are taken; with a pool of 1, the most doubtful ones themselves."""

    per_label: int
    pool: int = POOL
    seed: int = 13


@dataclass(frozen=True)
class Choice:
    """A row that was chosen, and the place of the label that is the reason; `is_share` says that the row is of that
    label's share."""

    row: int
    label: int
    is_share: bool


def doubts_of(probabilities: Probabilities, thresholds: Thresholds) -> Doubts:
    """How near each decision is to the other one: sigmoid(-|margin|), where the margin is the distance of a label's
    logit from its threshold's, and of a label of a group from the most probable other one of the group. Where
    probabilities are calibrated and the threshold is 0.5, it is the probability that the decision is wrong (the
    least confidence of Lewis and Gale 1994, "A Sequential Algorithm for Training Text Classifiers")."""
    margins = logit(probabilities) - logit(thresholds.array().astype(np.float64))
    for columns in thresholds.groups.values():
        logs = log_probabilities(probabilities[:, columns])
        first = logs.max(axis=1, keepdims=True)
        second = np.sort(logs, axis=1)[:, -2:-1]
        margins[:, columns] = np.where(logs == first, first - second, first - logs)
    return sigmoid64(-np.abs(margins))


def choose(doubts: Doubts, features: Features, n: int, rule: Rule) -> list[Choice]:
    """Up to `n` rows, the shares of the labels first, that of the label with the least doubt in all before others.

    After Zhdanov 2019, "Diverse mini-batch Active Learning": k-means on the most doubtful rows, weighted by their
    doubt. The same seed chooses the same rows."""
    left = np.ones(len(doubts), dtype=bool)
    chosen: list[Choice] = []
    for label in np.argsort(doubts.sum(0), kind="stable"):
        wanted = min(rule.per_label, n - len(chosen))
        for row in _spread(doubts[:, label], features, left, wanted, rule):
            chosen.append(Choice(row, int(label), True))
    for row in _spread(doubts.sum(1), features, left, n - len(chosen), rule):
        chosen.append(Choice(row, int(doubts[row].argmax()), False))
    return chosen


def _spread(
    doubt: NDArray[np.float64], features: Features, left: NDArray[np.bool_], wanted: int, rule: Rule
) -> Iterator[int]:
    """Yield the `wanted` rows of those that are `left`, the most doubtful first, and take them from there."""
    candidates = np.flatnonzero(left)
    pool = candidates[np.argsort(-doubt[candidates], kind="stable")][: wanted * rule.pool]
    if len(pool) > wanted > 0:
        pool = pool[_central(features[pool], doubt[pool], wanted, rule.seed)]
    for row in pool[:wanted].tolist():
        left[row] = False
        yield row


def _central(features: Features, weights: NDArray[np.float64], wanted: int, seed: int) -> NDArray[np.int64]:
    """The places (wanted,), ascending, of the rows nearest to the centres of so many clusters, each once."""
    means = KMeans(wanted, n_init=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different rows than clusters
        distances = means.fit(features, sample_weight=weights + 1e-9).transform(features)
    own = distances[np.arange(len(features)), means.labels_]
    order = np.argsort(own, kind="stable")
    first = np.unique(means.labels_[order], return_index=True)[1]  # of each cluster, the place in the order
    nearest = order[first]
    others = np.setdiff1d(np.arange(len(features)), nearest)  # where clusters are empty, the most doubtful others
    return np.sort(np.concatenate([nearest, others[: wanted - len(nearest)]]))


def joined(parts: Sequence[Features]) -> Features:
    """Features of several kinds, (N, W) each, side by side, each row's of each kind with length 1; one of zeros
    stays so."""
    lengths = [np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts]
    return np.concatenate([part / length for part, length in zip(parts, lengths, strict=True)], axis=1)
