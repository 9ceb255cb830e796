"""The devices of a page and the colours of its variants: the same in all its plots and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.kit.style import OTHERS, OWN, Colour
from bench.report.types import BenchReport, Row

MARKS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"))


@dataclass(frozen=True)
class Device:
    """A report under a title that no other one has; `marker` is matplotlib's and `glyph` the same in text."""

    title: str
    marker: str
    glyph: str
    report: BenchReport

    @property
    def name(self) -> str:
        """The title behind the glyph that stands for the device in plots."""
        return f"{self.glyph} {self.title}"

    @property
    def key(self) -> tuple[str, str]:
        """Its entry in a plot's key, which has no colour."""
        return "", self.name


def devices_of(reports: Sequence[BenchReport]) -> tuple[Device, ...]:
    """In the order given. Reports of one machine are told apart by when they started, or else by number."""
    names = [report.machine.name for report in reports]
    dated = [
        f"{name} ({report.conditions.started})" if names.count(name) > 1 else name
        for name, report in zip(names, reports, strict=True)
    ]
    titles = [
        f"{title}, report {dated[:i].count(title) + 1}" if dated.count(title) > 1 else title
        for i, title in enumerate(dated)
    ]
    return tuple(
        Device(title, *MARKS[i % len(MARKS)], report)
        for i, (title, report) in enumerate(zip(titles, reports, strict=True))
    )


def same_examples(devices: Sequence[Device]) -> list[list[Device]]:
    """The devices in groups whose quality was measured on the same examples."""
    groups: dict[tuple[str, tuple[str, ...]], list[Device]] = {}
    for device in devices:
        groups.setdefault((device.report.conditions.examples_sha256, device.report.labels), []).append(device)
    return list(groups.values())


def colours_of(devices: Sequence[Device]) -> dict[str, Colour]:
    """Every variant's colour by its name; the own ones' is reserved for them."""
    rows = [row for device in devices for row in device.report.rows]
    own = {row.name for row in rows if row.own}
    others = dict.fromkeys(row.name for row in rows if row.name not in own)
    return dict.fromkeys(own, OWN) | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}


def reference(report: BenchReport) -> Row | None:
    """What the own variant is measured against: the one that its first difference names, or else the slowest."""
    others = [row for row in report.rows if not row.own]
    references = [difference.reference for difference in report.own.differences[:1]]
    named = [row for row in others if row.name in references]
    return next(iter(named), None) or max(others, key=lambda row: row.timings[0].p50.value, default=None)


def distinct_rows(group: Sequence[Device]) -> list[Row]:
    """The rows of a group, each variant once, from the first device that has it."""
    first: dict[str, Row] = {}
    for device in group:
        for row in device.report.rows:
            first.setdefault(row.name, row)
    return list(first.values())
