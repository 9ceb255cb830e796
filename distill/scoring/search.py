"""The search for thresholds: one a label, all together, for the F1 that is expected of calibrated probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.metrics import f1_from_counts

MAX_SWEEPS = 20


@dataclass(frozen=True)
class Cuts:
    """A threshold for each label, float (L,), and the micro-F1 that is expected of them."""

    values: NDArray[np.float64]
    micro_f1: float


@dataclass(frozen=True)
class _Options:
    """The candidate thresholds of one label, descending float (C,), and (TP, FP, FN) at each, float (3, C)."""

    cuts: NDArray[np.float64]
    table: NDArray[np.float64]


def search_cuts(
    scores: NDArray[Any], expected: NDArray[Any], micro_share: float, groups: GroupColumns = NO_GROUPS
) -> Cuts:
    """The thresholds that maximise micro_share * micro-F1 + (1 - micro_share) * macro-F1, by coordinate ascent.

    scores and expected are (N, L); `expected` in [0, 1] is the share of a positive that each pair counts as. A
    label of a group is no choice: it is predicted where its score is the greatest of the group's."""
    options = [_options(scores[:, i], expected[:, i]) for i in range(scores.shape[1])]
    for columns in groups.values():
        best = scores[:, columns].argmax(axis=1)
        for place, column in enumerate(columns):
            options[column] = _decided(expected[:, column], best == place)
    chosen = _best_shared_cut(options, micro_share)
    for _ in range(MAX_SWEEPS):
        if not _sweep(options, chosen, micro_share):
            break
    pairs = list(zip(options, chosen, strict=True))
    tp, fp, fn = np.sum([option.table[:, index] for option, index in pairs], axis=0)
    return Cuts(np.array([option.cuts[index] for option, index in pairs]), float(f1_from_counts(tp, fp, fn)))


def best_constant_f1(expected: NDArray[Any]) -> float:
    """The greatest micro-F1 of predicting the same labels for every row of `expected` (N, L): the most frequent
    ones, as many as do best."""
    tp = np.cumsum(np.sort(expected.sum(0))[::-1])
    predicted = len(expected) * np.arange(1, len(tp) + 1)
    return float((2 * tp / np.maximum(predicted + tp[-1], 1e-12)).max())


def _options(scores: NDArray[Any], expected: NDArray[Any]) -> _Options:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    ends = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]])  # equal scores stay together
    above = np.concatenate([[1.0], ranked])[ends]
    below = np.concatenate([ranked, [0.0]])[ends]
    tp = np.concatenate([[0.0], np.cumsum(expected[order], dtype=np.float64)])[ends]
    return _Options((above + below) / 2, np.stack([tp, ends - tp, tp[-1] - tp]))


def _decided(expected: NDArray[Any], predicted: NDArray[np.bool_]) -> _Options:
    """The one option of a label whose decisions (N,) are made."""
    tp = expected[predicted].sum()
    return _Options(np.ones(1), np.array([[tp], [predicted.sum() - tp], [expected.sum() - tp]]))


def _best_shared_cut(options: list[_Options], micro_share: float) -> list[int]:
    """The start of the search: each label's candidate for the best threshold that all labels share, from a grid."""
    grid = np.linspace(0.02, 0.98, 97)
    indices = np.stack([np.searchsorted(-option.cuts, -grid, side="right") - 1 for option in options]).clip(0)
    tables = np.stack([option.table[:, index] for option, index in zip(options, indices, strict=True)])
    micro = f1_from_counts(*tables.sum(0))
    macro = f1_from_counts(*tables.swapaxes(0, 1)).mean(0)
    best = int((micro_share * micro + (1 - micro_share) * macro).argmax())
    return [int(index[best]) for index in indices]


def _sweep(options: list[_Options], chosen: list[int], micro_share: float) -> bool:
    """Optimise one label after the other, in place; whether anything improved."""
    improved = False
    total = sum(option.table[:, index] for option, index in zip(options, chosen, strict=True))
    for label, option in enumerate(options):
        rest = total - option.table[:, chosen[label]]
        micro = f1_from_counts(*(rest[:, None] + option.table))
        macro = f1_from_counts(*option.table) / len(options)  # the other labels' share is a constant here
        value = micro_share * micro + (1 - micro_share) * macro
        best = int(value.argmax())
        if value[best] > value[chosen[label]] + 1e-12:
            total = rest + option.table[:, best]
            chosen[label] = best
            improved = True
    return improved
