"""Stratified splits and folds of multi-label data: every label keeps its share in each part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError

SPLIT_SEED = 13
PIECE = 1000  # rows
SHARES = {"train": 0.70, "dev": 0.15, "test": 0.15}


def stratified_split(
    targets: NDArray[np.float32], shares: Sequence[float], seed: int, groups: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Row indices of each part, ascending, from targets (N, L) in {0, 1}, NaN where unknown, and shares > 0 that
    sum to 1. Rows of one of the `groups` int64 (N,), numbered from 0, stay together; without them, each row is a
    group.

    Iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data",
    algorithm 1. The label with the fewest remaining rows is distributed first, each row to the part that still
    needs most of that label, ties to the part that needs most rows, then at random. Rows without a label come last,
    and larger groups before smaller ones; the last groups go to the parts that have none. Raises DataError if there
    are fewer groups than parts.
    """
    targets = np.nan_to_num(targets)
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
    part_of = np.full(len(sizes), -1)
    from distill.core.output.terminal import track  # here: its imports are slow

    for _ in track(_distribute(part_of, counts, sizes, np.asarray(shares), generator), "dividing rows", len(sizes)):
        pass
    return [np.flatnonzero(part_of[groups] == part) for part in range(len(shares))]


def _distribute(
    part_of: NDArray[np.int64],
    counts: NDArray[np.float64],
    sizes: NDArray[np.int64],
    shares: NDArray[np.float64],
    generator: np.random.Generator,
) -> Iterator[int]:
    """Give each group (G,) its part in `part_of`, and yield it. `counts` (G, L) are its positives, `sizes` (G,) its
    rows."""
    wanted_rows, wanted = shares * sizes.sum(), np.outer(shares, counts.sum(0))
    left, empty, remaining = counts.sum(0), set(range(len(shares))), len(sizes)
    while (part_of < 0).any():
        # Where each row is a group, the rarest label stays the rarest until it is used up.
        label = int(np.where(left > 0, left, np.inf).argmin()) if left.any() else None
        free = part_of < 0 if label is None else (part_of < 0) & (counts[:, label] > 0)
        for group in _largest_first(np.flatnonzero(free), sizes, generator):
            desire = wanted_rows if label is None else wanted[:, label]
            keys = list(zip(desire, wanted_rows, generator.random(len(shares)), strict=True))
            parts = empty if remaining <= len(empty) else range(len(shares))
            part = max(parts, key=keys.__getitem__)
            part_of[group] = part
            wanted[part] -= counts[group]
            wanted_rows[part] -= sizes[group]
            left -= counts[group]
            empty.discard(part)
            remaining -= 1
            yield group


def _largest_first(
    groups: NDArray[np.int64], sizes: NDArray[np.int64], generator: np.random.Generator
) -> Iterator[int]:
    for size in np.unique(sizes[groups])[::-1]:
        yield from _in_random_order(groups[sizes[groups] == size], generator)


def _in_random_order(rows: NDArray[np.int64], generator: np.random.Generator) -> Iterator[int]:
    """The rows in a random order, each drawn when it is asked for. They are kept in pieces, because taking an
    element out of one list takes a time that grows with its length."""
    pieces = [piece.tolist() for piece in np.array_split(rows, len(rows) // PIECE + 1)]
    sizes = np.array([len(piece) for piece in pieces])
    for count in range(len(rows), 0, -1):
        ends = np.cumsum(sizes)
        drawn = int(generator.integers(0, count))
        place = int(np.searchsorted(ends, drawn, side="right"))
        sizes[place] -= 1
        yield pieces[place].pop(drawn - int(ends[place]) + int(sizes[place]) + 1)


def stratified_folds(
    targets: NDArray[np.float32], folds: int, seed: int, groups: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Row indices of `folds` parts of equal share. Raises DataError if there are fewer groups than folds."""
    return stratified_split(targets, [1 / folds] * folds, seed, groups)
