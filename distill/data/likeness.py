"""Texts and labels that differ only in how they are written, and posts that are equal in what they say or show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
BETWEEN_WORDS = re.compile(r"[\W_]+")


def label_key(name: str) -> str:
    """What labels share that differ only in case, Unicode form or invisible characters."""
    if name.isascii():  # most are, and it saves most of the time
        return name.casefold().strip()
    return unicodedata.normalize("NFKC", INVISIBLE.sub("", name)).casefold().strip()


def text_key(text: str) -> str:
    """What equal and nearly equal texts share: their words, whatever their case, spaces, punctuation, Unicode form
    and invisible characters. "" for a text without a word."""
    return BETWEEN_WORDS.sub(" ", label_key(text)).strip()


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The labels that differ only in how they are written, together."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(label_key(name), []).append(name)
    return [tuple(group) for group in by_key.values() if len(group) > 1]


def groups_of(keys: Iterable[Iterable[Hashable]]) -> NDArray[np.int64]:
    """The number of each row's group, int64 (N,), from 0 in the order of their first rows. Rows that share one of
    their keys, directly or by way of others, are in one group."""
    parent: list[int] = []

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_row: dict[Hashable, int] = {}
    for row, own in enumerate(keys):
        parent.append(row)
        for key in own:
            a, b = root(first_row.setdefault(key, row)), root(row)
            parent[max(a, b)] = min(a, b)
    roots = [root(row) for row in range(len(parent))]
    numbers = {each: number for number, each in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[each] for each in roots], dtype=np.int64)
