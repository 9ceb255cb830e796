"""Which files or folders of a dataset are its train, dev and test splits, whatever its publisher calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from distill.core.errors import DataError

WORDS = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "validation", "valid", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS.items() for word in words}
# Where a release has two files of a split: with labels rather than without, and the examples of the first round.
BETTER = frozenset(("labeled", "labelled", "gold", "seen", "instances"))
WORSE = frozenset(("unlabeled", "unlabelled", "unseen"))
SHARD = re.compile(r"-?\d+(-of-\d+)?$")


def split_of(name: str) -> str | None:
    """The split that a file or folder is named after, such as dev for val2017 or dev_set_task3_labeled; None if it
    is none, or more than one."""
    splits = {SPLIT_OF_WORD[word] for word in _words(name) if word in SPLIT_OF_WORD}
    return splits.pop() if len(splits) == 1 else None


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]+", name.lower())


def choose(files: Iterable[Path], split: str, folder: Path) -> tuple[Path, ...]:
    """The files of a split: one, or the shards of one. Raises DataError if several could be it."""
    ranks: dict[int, dict[Path, list[Path]]] = {}
    for file in sorted(files):
        words = set(_words(str(file.relative_to(folder))))
        whole = file.with_name(SHARD.sub("", file.name.split(".")[0]))
        ranks.setdefault(bool(words & BETTER) - bool(words & WORSE), {}).setdefault(whole, []).append(file)
    best = list(ranks[max(ranks)].values())
    if len(best) > 1 or len({file.suffix for file in best[0]}) > 1:
        first, second = (best[0][0], best[1][0]) if len(best) > 1 else best[0][:2]
        names = f"{first.relative_to(folder)} and {second.relative_to(folder)}"
        raise DataError(f"{folder}: both {names} could be the {split} split; keep one, or give the folder of one")
    return tuple(best[0])
