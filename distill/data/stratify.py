"""Stratified splits and folds of multi-label data: every label keeps its share in each part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError

SPLIT_SEED = 13
SHARES = {"train": 0.70, "dev": 0.15, "test": 0.15}


def stratified_split(
    targets: NDArray[np.float32], shares: Sequence[float], seed: int, groups: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Row indices of each part, ascending, from targets (N, L) in {0, 1} and shares > 0 that sum to 1. Rows of one
    of the `groups` int64 (N,), numbered from 0, stay together; without them, each row is a group.

    Iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data",
    algorithm 1. The label with the fewest remaining rows is distributed first, each row to the part that still
    needs most of that label, ties to the part that needs most rows, then at random. Rows without a label come last,
    and larger groups before smaller ones. Raises DataError if there are fewer groups than parts.
    """
    rows, columns = targets.shape
    if abs(sum(shares) - 1) > 1e-6 or min(shares) <= 0:
        raise DataError(f"shares must be > 0 and sum to 1; got {tuple(shares)}")
    groups = np.arange(rows) if groups is None else groups
    sizes = np.bincount(groups)
    if len(sizes) < len(shares):
        different = "" if len(sizes) == rows else f", of which {len(sizes)} differ,"
        raise DataError(f"{rows} rows{different} cannot be divided into {len(shares)} parts; give more rows")
    counts = np.zeros((len(sizes), columns))
    np.add.at(counts, groups, targets)
    generator = np.random.default_rng(seed)
    wanted_rows = np.asarray(shares) * rows
    wanted = np.outer(shares, counts.sum(0))
    part_of = np.full(len(sizes), -1)
    while (free := part_of < 0).any():
        left = counts[free].sum(0)
        if left.any():
            label = int(np.where(left > 0, left, np.inf).argmin())
            chosen = np.flatnonzero(free & (counts[:, label] > 0))
            desire = wanted[:, label]
        else:
            chosen, desire = np.flatnonzero(free), None
        group = int(generator.choice(chosen[sizes[chosen] == sizes[chosen].max()]))
        keys = np.stack([desire if desire is not None else wanted_rows, wanted_rows, generator.random(len(shares))])
        part = int(np.lexsort(keys[::-1])[-1])
        part_of[group] = part
        wanted[part] -= counts[group]
        wanted_rows[part] -= sizes[group]
    return [np.flatnonzero(part_of[groups] == part) for part in range(len(shares))]


def stratified_folds(
    targets: NDArray[np.float32], folds: int, seed: int, groups: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Row indices of `folds` parts of equal share. Raises DataError if there are fewer groups than folds."""
    return stratified_split(targets, [1 / folds] * folds, seed, groups)
