"""Stratified splits and folds of multi-label data: every label keeps its share in each part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError

SPLIT_SEED = 13
SHARES = {"train": 0.70, "dev": 0.15, "test": 0.15}


def stratified_split(targets: NDArray[np.float32], shares: Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Row indices of each part, ascending, from targets (N, L) in {0, 1}, NaN where unknown, and shares > 0 that
    sum to 1.

    Iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data",
    algorithm 1. The label with the fewest remaining rows is distributed first, each row to the part that still
    needs most of that label, ties to the part that needs most rows, then at random. Rows without a label come last.
    Raises DataError if there are fewer rows than parts.
    """
    targets = np.nan_to_num(targets)
    rows, _ = targets.shape
    if abs(sum(shares) - 1) > 1e-6 or min(shares) <= 0:
        raise DataError(f"shares must be > 0 and sum to 1; got {tuple(shares)}")
    if rows < len(shares):
        raise DataError(f"{rows} rows cannot be divided into {len(shares)} parts; give more rows")
    generator = np.random.default_rng(seed)
    wanted_rows = np.asarray(shares) * rows
    wanted = np.outer(shares, targets.sum(0))
    part_of = np.full(rows, -1)
    while (free := part_of < 0).any():
        left = targets[free].sum(0)
        if left.any():
            label = int(np.where(left > 0, left, np.inf).argmin())
            chosen = np.flatnonzero(free & (targets[:, label] > 0))
            desire = wanted[:, label]
        else:
            chosen, desire = np.flatnonzero(free), None
        row = int(generator.choice(chosen))
        keys = np.stack([desire if desire is not None else wanted_rows, wanted_rows, generator.random(len(shares))])
        part = int(np.lexsort(keys[::-1])[-1])
        part_of[row] = part
        wanted[part] -= targets[row]
        wanted_rows[part] -= 1
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def stratified_folds(targets: NDArray[np.float32], folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Row indices of `folds` parts of equal share. Raises DataError if there are fewer rows than folds."""
    return stratified_split(targets, [1 / folds] * folds, seed)
