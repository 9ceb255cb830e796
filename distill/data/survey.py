"""What a dataset holds and what is doubtful about it, for `distill data check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.checks import faults_of, image_faults, rows_of, thin_dev, warnings_of
from distill.data.dataset import SPLIT_NAMES, Example, Splits
from distill.data.duplicates import WORDS, Duplicates, Kind, Row, find_duplicates
from distill.data.image_facts import ImageFacts, facts_of
from distill.preprocess.text import has_text

MAX_GROUPS = 1000  # of each kind of duplicates that a report lists; all are counted
MAX_ROWS = 20  # of a group
FOLDS = "train the teacher with --set teacher.folds=5, which rests them on train"
EXPECTED = 5.0  # examples that two labels would share by chance; fewer may well be none


@dataclass(frozen=True)
class Spread:
    """Least, middle, 95th percentile and most."""

    least: int
    median: int
    p95: int
    most: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Spread | None:
        """None of no values."""
        if not values:
            return None
        return cls(*(int(v) for v in np.percentile(values, [0, 50, 95, 100], method="nearest")))


@dataclass(frozen=True)
class SplitSurvey:
    """`words` are those of its texts, split at spaces; `known_labels` counts the rows whose labels are known, and
    `with_label` those that have one or more."""

    name: str
    rows: int
    with_text: int
    with_image: int
    known_labels: int
    with_label: int
    words: Spread | None


@dataclass(frozen=True)
class LabelSurvey:
    """The rows of each split that have the label, by the split's name, and the rows of which it is unknown."""

    name: str
    positives: dict[str, int]
    unknown: int

    @property
    def total(self) -> int:
        """The rows of all splits that have the label."""
        return sum(self.positives.values())


@dataclass(frozen=True)
class ImageSurvey:
    """`formats` counts images by what they are, whatever their names end in; sides are in pixels."""

    images: int
    different: int
    formats: dict[str, int]
    widths: Spread | None
    heights: Spread | None


@dataclass(frozen=True)
class Member:
    """A row of a group of duplicates."""

    id: str
    split: str
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class Group:
    """Rows that are duplicates, the first MAX_ROWS of `rows`."""

    rows: int
    leak: bool
    clash: bool
    members: tuple[Member, ...]


@dataclass(frozen=True)
class DuplicateSurvey:
    """The duplicates of a kind: groups, their rows, groups in several splits and with clashing labels. `listed` are
    the first MAX_GROUPS."""

    kind: Kind
    groups: int
    rows: int
    leaks: int
    clashes: int
    listed: tuple[Group, ...]


@dataclass(frozen=True)
class Apart:
    """Two labels that no row has together, and how many would by chance."""

    one: str
    other: str
    expected: float


@dataclass(frozen=True)
class Survey:
    """`read_as` says which format and columns each file has; `errors` stop a training, and `warnings` may spoil its
    results."""

    source: str
    read_as: tuple[str, ...]
    splits: tuple[SplitSurvey, ...]
    labels: tuple[LabelSurvey, ...]
    images: ImageSurvey
    duplicates: tuple[DuplicateSurvey, ...]
    never_together: tuple[Apart, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Surveyed:
    """A survey, and the rows and duplicates that it was made of, for those who show them."""

    survey: Survey
    rows: list[Row]
    duplicates: list[Duplicates]


def survey(splits: Splits, source: Path) -> Surveyed:
    """Look at every row and image of a dataset. Nothing raises; `Survey.errors` says what stops a training."""
    rows = rows_of(splits)
    facts, broken = facts_of(rows)
    duplicates = find_duplicates(rows, facts)
    labels = tuple(_labels(splits, rows))
    report = Survey(
        str(source),
        splits.read_as,
        tuple(_split(name, part) for name in SPLIT_NAMES if (part := getattr(splits, name))),
        labels,
        _images([fact for fact in facts if fact]),
        tuple(_duplicates(kind, rows, [group for group in duplicates if group.kind == kind]) for kind in WORDS),
        tuple(_never_together(rows, labels)),
        (*faults_of(splits, rows), *image_faults(broken)),
        (*warnings_of(splits, rows, duplicates), *(thin_dev(splits, FOLDS) if splits.dev else ())),
    )
    return Surveyed(report, rows, duplicates)


def _split(name: str, part: Sequence[Example]) -> SplitSurvey:
    words = [len(example.text.split()) for example in part if has_text(example.text)]
    known = [example for example in part if example.labels is not None]
    return SplitSurvey(
        name,
        len(part),
        len(words),
        sum(example.image is not None for example in part),
        len(known),
        sum(bool(example.labels) for example in known),
        Spread.of(words),
    )


def _labels(splits: Splits, rows: Sequence[Row]) -> Iterator[LabelSurvey]:
    """Those of the label set, in its order, and behind them those outside of it."""
    counts = {
        name: Counter(label for example in getattr(splits, name) for label in example.labels or ())
        for name in SPLIT_NAMES
        if getattr(splits, name)
    }
    unknown = Counter(label for _, example in rows for label in example.unknown_labels)
    named = {label for count in (*counts.values(), unknown) for label in count}
    for label in (*splits.labels.names, *sorted(named - set(splits.labels.names))):
        yield LabelSurvey(label, {name: count[label] for name, count in counts.items()}, unknown[label])


def _images(facts: Sequence[ImageFacts]) -> ImageSurvey:
    return ImageSurvey(
        len(facts),
        len({fact.sha256 for fact in facts}),
        dict(Counter(fact.format for fact in facts).most_common()),
        Spread.of([fact.width for fact in facts]),
        Spread.of([fact.height for fact in facts]),
    )


def _duplicates(kind: Kind, rows: Sequence[Row], groups: Sequence[Duplicates]) -> DuplicateSurvey:
    return DuplicateSurvey(
        kind,
        len(groups),
        sum(len(group.rows) for group in groups),
        sum(group.leak for group in groups),
        sum(group.clash for group in groups),
        tuple(_group(rows, group) for group in groups[:MAX_GROUPS]),
    )


def _group(rows: Sequence[Row], group: Duplicates) -> Group:
    some = [rows[row] for row in group.rows[:MAX_ROWS]]
    members = tuple(Member(example.id, split, example.labels) for split, example in some)
    return Group(len(group.rows), group.leak, group.clash, members)


def _never_together(rows: Sequence[Row], labels: Sequence[LabelSurvey]) -> Iterator[Apart]:
    """Pairs of labels, the least probable first, that chance would have brought together EXPECTED times."""
    known = sum(example.labels is not None for _, example in rows)
    together: set[tuple[str, str]] = set()
    for _, example in rows:
        together.update(combinations(sorted(example.labels or ()), 2))
    most = max((label.total for label in labels), default=0)
    often = sorted((n, label.name) for label in labels if (n := label.total) and n * most >= EXPECTED * known)[::-1]
    apart = []
    for (one_rows, one), (other_rows, other) in combinations(often, 2):
        expected = one_rows * other_rows / known
        if expected >= EXPECTED and (min(one, other), max(one, other)) not in together:
            apart.append(Apart(one, other, round(expected, 1)))
    yield from sorted(apart, key=lambda pair: -pair.expected)
