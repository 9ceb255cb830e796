"""Decisions for labels of a hierarchy: one for a label is one for the labels above it too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distill.data.hierarchy import ancestors


def fill_ancestors(names: tuple[str, ...], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choices bool (N, L) of labels, with the labels above each chosen one chosen too, where the set has them."""
    column = {name: index for index, name in enumerate(names)}
    filled = chosen.copy()
    for name, index in column.items():
        for above in {column[each] for each in ancestors(name) if each in column}:
            filled[:, above] |= chosen[:, index]
    return filled


def fill_targets(names: tuple[str, ...], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Targets (N, L), NaN where unknown, with 1 for the labels above each 1."""
    return np.where(fill_ancestors(names, targets == 1), np.float32(1), targets)
