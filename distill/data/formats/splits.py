"""Which files or folders of a dataset are its train, dev and test splits, whatever its publisher calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from distill.core.errors import DataError
from distill.data.formats.open_table import SUFFIXES

WORDS = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "validation", "valid", "validate", "development", "devel"),
    "test": ("test", "testing", "eval", "evaluation", "evaluate"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS.items() for word in words}
# Where a release has two files of a split: with labels rather than without, and the examples of the first round.
BETTER = frozenset(("labeled", "labelled", "gold", "seen", "instances"))
WORSE = frozenset(("unlabeled", "unlabelled", "unseen"))
# What programs write of a split, and what they are told of it.
REPORTS = frozenset(
    f"{word}{ending}"
    for word in ("prediction", "pred", "result", "metric", "score", "log", "report", "config")
    for ending in ("", "s")
)
HASH = "(-[0-9a-f]{8,})?"  # behind the number of a shard of Hugging Face datasets
UUID = "(tid-\\d+-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-\\d+)*(-c\\d+)?"  # behind that of Spark
NUMBERED = re.compile(rf"(?<!\d)(\d+)-of-(\d+){HASH}$")  # the shard and how many there are
COUNTED = re.compile(rf"(?:^|[-_])(\d+)(?:-{UUID})?$")
MAX_NAMED = 3
SHARD = re.compile(rf"(^|[-_.])\d+(-of-\d+{HASH}|-{UUID})?$")  # not task2, which is another file than task1
ORDER = (*SUFFIXES, ".txt")


def split_of(name: str) -> str | None:
    """The split that a file or folder is named after, such as dev for val2017 or dev_set_task3_labeled; None if it
    is none, or more than one."""
    splits = {SPLIT_OF_WORD[word] for word in name_words(name) if word in SPLIT_OF_WORD}
    return splits.pop() if len(splits) == 1 else None


def is_report(name: str) -> bool:
    """Whether a file or folder is named after what a program writes of a dataset, as test_predictions.csv is."""
    return not REPORTS.isdisjoint(name_words(name))


def is_split_itself(name: str) -> bool:
    """Whether a file or folder is called like a split and nothing else, but for the number of a shard."""
    return SHARD.sub("", name.lower().split(".")[0]) in SPLIT_OF_WORD


def name_words(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return re.split(r"[^a-z]+", name.lower())


def choose(files: Iterable[Path], split: str, folder: Path) -> tuple[Path, ...]:
    """The files of a split: one, or the shards of one. Raises DataError if several could be it."""
    ranks: dict[tuple[bool, int], dict[tuple[Path, str], list[Path]]] = {}
    for file in sorted(files, key=lambda file: (file.parent, file.stem, ORDER.index(file.suffix.lower()))):
        stem = file.name.split(".")[0]
        words = set(name_words(str(file.relative_to(folder))))
        rank = (stem.lower() in WORDS[split], bool(words & BETTER) - bool(words & WORSE))
        ranks.setdefault(rank, {}).setdefault((file.parent, SHARD.sub("", stem)), []).append(file)
    groups = list(ranks[max(ranks)].values())
    shards = groups[0]
    if len(groups) > 1 or (len(shards) > 1 and not all(map(_is_shard, shards))):
        first, second = (shards[0], groups[1][0]) if len(groups) > 1 else shards[:2]
        names = f"{first.relative_to(folder)} and {second.relative_to(folder)}"
        raise DataError(f"{folder}: both {names} could be the {split} split; keep one, or give the folder of one")
    _refuse_gaps(shards, split, folder)
    return tuple(shards)


def _is_shard(file: Path) -> bool:
    """By its name up to the last dot or, as of part-0.snappy.parquet, the first."""
    return any(map(SHARD.search, (file.stem, file.name.split(".")[0])))


def gap_in(shards: Sequence[Path], split: str, folder: Path) -> str:
    """What is doubtful of files whose numbers count from 0 or 1 and leave some out, while nothing says how many
    there should be; "" for others."""
    by_number = {int(match[1]): file for file in shards if (match := COUNTED.search(file.name.split(".")[0]))}
    if (
        len(by_number) < 2 or min(by_number) > 1 or max(by_number) > 10 * len(by_number)
    ):  # years and dates count nothing
        return ""
    missing = [number for number in range(min(by_number), max(by_number)) if number not in by_number]
    if not missing:
        return ""
    first, last = (by_number[end(by_number)].relative_to(folder) for end in (min, max))
    which = ", ".join(map(str, missing[:MAX_NAMED])) + ", and more" * (len(missing) > MAX_NAMED)
    number = "number" + "s" * (len(missing) > 1)
    return f"the {split} split is {len(shards)} files, {first} to {last}, without the {number} {which}"


def _refuse_gaps(shards: list[Path], split: str, folder: Path) -> None:
    """Raise DataError if one of the shards 0 to N - 1 of N, or 1 to N, is missing, or if one is there twice."""
    matches = [match for file in shards if (match := NUMBERED.search(file.name.split(".")[0]))]
    if not matches:
        return
    numbers, totals = [int(match[1]) for match in matches], sorted({int(match[2]) for match in matches})
    total, first = totals[-1], int(min(numbers) > 0 and max(numbers) == totals[-1])
    wanted = range(first, first + total)
    missing = next((number for number in wanted if number not in numbers), None)
    if missing is not None:
        name = shards[0].name.replace(matches[0][0], f"{missing:0{len(matches[0][1])}d}-of-{matches[0][2]}")
        raise DataError(
            f"{folder}: {name} is missing: {len(shards)} of {total} shards of the {split} split are here; add it, "
            f"or take '-of-{matches[0][2]}' out of their names"
        )
    if len(totals) > 1 or len(shards) > total:
        names = ", ".join(file.name for file in shards[:MAX_NAMED])
        raise DataError(f"{folder}: {names} are not the {total} shards of one {split} split; keep those of one")
