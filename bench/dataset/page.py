"""What a dataset's page is made of; page.html.jinja says where its tables, plot and duplicates go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from bench.dataset import plots, tables
from bench.report.kit.html import render
from bench.report.kit.thumbnail import Thumbnail, thumbnail
from distill.core.errors import ImageError
from distill.data.dataset import Example
from distill.data.duplicates import WORDS, Duplicates, Kind
from distill.data.survey import Surveyed

MAX_GROUPS = 24  # of each kind
MAX_ROWS = 4  # of a group
SIDE = 200  # pixels of an image


@dataclass(frozen=True)
class Card:
    """A row of a group of duplicates, as the page shows it."""

    id: str
    split: str
    labels: str
    text: str
    image: Thumbnail | None


@dataclass(frozen=True)
class Shown:
    """A group of duplicates; `rows` counts those that have no card too."""

    rows: int
    leak: bool
    clash: bool
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Section:
    """The duplicates of a kind; `groups` counts those that are not shown too."""

    title: str
    groups: int
    shown: tuple[Shown, ...]


def to_html(surveyed: Surveyed) -> str:
    """The page. Images that cannot be read are left out."""
    survey = surveyed.survey
    return render(
        "dataset/page.html.jinja",
        survey=survey,
        tables=tables,
        labels=plots.labels(survey) if survey.labels else None,
        sections=[section for kind in WORDS if (section := _section(surveyed, kind)).groups],
    )


def _section(surveyed: Surveyed, kind: Kind) -> Section:
    groups = [group for group in surveyed.duplicates if group.kind == kind]
    shown = tuple(_shown(surveyed, group) for group in groups[:MAX_GROUPS])
    return Section(tables.NAMES[kind].capitalize(), len(groups), shown)


def _shown(surveyed: Surveyed, group: Duplicates) -> Shown:
    cards = (_card(*surveyed.rows[row]) for row in _across(surveyed, group))
    return Shown(len(group.rows), group.leak, group.clash, tuple(cards))


def _across(surveyed: Surveyed, group: Duplicates) -> Iterator[int]:
    """MAX_ROWS rows of a group: the first of each split, then the others."""
    first = {surveyed.rows[row][0]: row for row in reversed(group.rows)}
    ordered = dict.fromkeys([*sorted(first.values()), *group.rows[:MAX_ROWS]])
    yield from list(ordered)[:MAX_ROWS]


def _card(split: str, example: Example) -> Card:
    named = "unknown labels" if example.labels is None else ", ".join(example.labels) or "no label"
    image = None
    if example.image is not None:
        with suppress(ImageError):  # it stands among the errors
            image = thumbnail(example.image, SIDE)
    return Card(example.id, split, named, " ".join(example.text.split()), image)
