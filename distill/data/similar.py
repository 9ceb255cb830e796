"""Images that look the same: copies in another size or quality, with another frame or watermark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from distill.data.image_facts import CELLS, ImageFacts
from distill.data.likeness import groups_of

# Of pairs of memes that differ in 6 bits, four of five are copies of one image and the others share a template; at
# 8 bits half are; at 10 bits unrelated images begin. docs/data.md has the figures, docs/experiments the pairs.
MAX_BITS = 6  # of 64
MAX_COLOUR = 16.0  # levels of 255, the mean over cells and channels
BANDS = 8  # of 8 bits. 6 bits that differ leave 2 bands alike, so that each near pair shares one of 28 keys.
MAX_STEPS = 2000  # images of one key that each is compared with; more means that they are hardly photographs


def similar_groups(facts: Sequence[ImageFacts]) -> NDArray[np.int64]:
    """The number of each image's group, int64 (N,), from 0. Images whose content is equal, or that look the same,
    directly or by way of others, are in one group."""
    first = list({fact.sha256: row for row, fact in reversed(list(enumerate(facts)))}.values())
    seen = [row for row in first if facts[row].look is not None]
    keys: list[list[object]] = [[fact.sha256] for fact in facts]
    bits = np.array([look.bits for row in seen if (look := facts[row].look)], dtype=np.uint64)
    colours = np.frombuffer(b"".join(look.colours for row in seen if (look := facts[row].look)), dtype=np.uint8)
    for pair in near_pairs(bits, colours.reshape(-1, CELLS * CELLS * 3)):
        for one in pair:
            keys[seen[one]].append(pair)
    return groups_of(keys)


def near_pairs(bits: NDArray[np.uint64], colours: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """The pairs of looks, by their rows, that differ in at most MAX_BITS bits and by at most MAX_COLOUR.

    Near pairs have two of the 8 bands in common, so only rows that share two bands are compared: in N log N, where
    the hashes are spread (multi-index hashing: Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with
    Multi-Index Hashing").
    """
    pairs: set[tuple[int, int]] = set()
    bands = [(bits >> np.uint64(8 * band)) & np.uint64(255) for band in range(BANDS)]
    for one, other in combinations(bands, 2):
        key = (one << np.uint64(8)) | other
        order = np.argsort(key, kind="stable")
        key, hashes = key[order], bits[order]
        at = np.arange(len(order))
        for step in range(1, MAX_STEPS):
            at = at[at + step < len(order)]
            at = at[key[at] == key[at + step]]
            if not len(at):
                break
            near = at[np.bitwise_count(hashes[at] ^ hashes[at + step]) <= MAX_BITS]
            a, b = order[near], order[near + step]
            alike = np.abs(colours[a].astype(np.int16) - colours[b]).mean(1) <= MAX_COLOUR
            pairs.update(zip(a[alike].tolist(), b[alike].tolist(), strict=True))
    return sorted(pairs)
