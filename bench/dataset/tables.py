"""The tables of a dataset's survey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.text import NONE
from distill.data.duplicates import Kind
from distill.data.survey import DuplicateSurvey, Member, Spread, Survey

NAMES: dict[Kind, str] = {
    "image": "equal images",
    "similar image": "images that look the same",
    "text": "equal texts, up to case, spaces and punctuation",
}
MAX_LABELS = 60  # that a terminal shows
MAX_PAIRS = 10  # of labels that never come together
MAX_LISTED = 5  # groups of duplicates of a kind, in a terminal


def grids(survey: Survey) -> Iterator[Grid]:
    """For a terminal."""
    yield splits(survey)
    yield labels(survey, MAX_LABELS)
    if survey.images.images:
        yield images(survey)
    if any(part.groups for part in survey.duplicates):
        yield duplicates(survey)
        yield groups(survey)
    if survey.never_together:
        yield apart(survey)


def splits(survey: Survey) -> Grid:
    """Rows and words of each split."""
    headings = (
        "split",
        "rows",
        "with text",
        "with image",
        "labels known",
        "with a label",
        "words: median, 95 %, most",
    )
    rows = tuple(
        (
            part.name,
            *_counts(part.rows, part.with_text, part.with_image, part.known_labels, part.with_label),
            _spread(part.words),
        )
        for part in survey.splits
    )
    return Grid(f"{survey.source}: rows", headings, rows)


def labels(survey: Survey, most: int | None = None) -> Grid:
    """The rows of each label, the most frequent label first."""
    names = [part.name for part in survey.splits]
    known = sum(part.known_labels for part in survey.splits)
    ordered = sorted(survey.labels, key=lambda label: -label.total)
    rows = tuple(
        (
            label.name,
            *_counts(*(label.positives[name] for name in names), label.unknown),
            f"{label.total / known:.1%}" if known else NONE,
        )
        for label in ordered[:most]
    )
    weak: tuple[Emphasis, ...] = tuple("" if label.total else "bad" for label in ordered[:most])
    title = "Rows by label" if len(rows) == len(ordered) else f"Rows by label, the first {most} of {len(ordered):,}"
    return Grid(title, ("label", *names, "unknown", "share"), rows, weak)


def images(survey: Survey) -> Grid:
    """What the images are."""
    found = survey.images
    rows = (
        ("images", f"{found.images:,}, of which {found.different:,} differ"),
        ("formats", ", ".join(f"{name} {count:,}" for name, count in found.formats.items())),
        ("width: least, median, 95 %, most", f"{_least(found.widths)}{_spread(found.widths)} pixels"),
        ("height: least, median, 95 %, most", f"{_least(found.heights)}{_spread(found.heights)} pixels"),
    )
    return Grid("Images", ("", ""), rows, words=(0, 1))


def duplicates(survey: Survey) -> Grid:
    """The groups of duplicates by kind."""
    headings = ("duplicates", "groups", "rows", "in several splits", "with other labels")
    rows = tuple(
        (NAMES[part.kind], *_counts(part.groups, part.rows, part.leaks, part.clashes)) for part in survey.duplicates
    )
    return Grid("Groups of duplicates", headings, rows)


def groups(survey: Survey, most: int = MAX_LISTED) -> Grid:
    """The first groups of each kind."""
    rows = tuple(row for part in survey.duplicates for row in _groups(part, most))
    return Grid(
        "Duplicates: those in several splits first, then those with other labels",
        ("kind", "rows"),
        rows,
        words=(0, 1),
    )


def _groups(part: DuplicateSurvey, most: int) -> Iterator[tuple[str, str]]:
    for group in part.listed[:most]:
        more = f" and {group.rows - 4:,} more" if group.rows > 4 else ""
        yield part.kind, "; ".join(map(member, group.members[:4])) + more


def member(row: Member) -> str:
    """A row of a group in one line."""
    named = "unknown labels" if row.labels is None else ", ".join(row.labels) or "no label"
    return f"{row.id} ({row.split}): {named}"


def apart(survey: Survey, most: int = MAX_PAIRS) -> Grid:
    """Labels that never come together."""
    pairs = survey.never_together
    rows = tuple((pair.one, pair.other, f"{pair.expected:,.1f}") for pair in pairs[:most])
    count = "" if len(pairs) <= most else f", the first {most} of {len(pairs):,}"
    title = f"Labels that no row has together{count}"
    return Grid(title, ("label", "and", "rows expected by chance"), rows, words=(0, 1))


def _counts(*numbers: int) -> Sequence[str]:
    return [f"{number:,}" for number in numbers]


def _least(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.least:,}, "


def _spread(spread: Spread | None) -> str:
    return NONE if spread is None else f"{spread.median:,}, {spread.p95:,}, {spread.most:,}"
