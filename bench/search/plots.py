"""The plots of a search: F1 against milliseconds and against megabytes, each with its Pareto front."""

from __future__ import annotations

from bench.report.kit import plot as kit
from bench.report.kit.style import OTHERS, OWN
from bench.report.page.plots import Point, fronted
from distill.scoring.estimate import Estimate
from student.search.report import MB, Row, SearchReport


def shown(report: SearchReport) -> list[Row]:
    """The rows with F1 on all examples: others' is of fewer."""
    return [row for row in report.rows if row.folds == report.folds and row.f1 and row.known_cost]


def against_ms(report: SearchReport) -> kit.Plot:
    """F1 against the median milliseconds of a post, both with their intervals."""
    return fronted([_points(report, "ms")], "p50 of a post, ms (log)", f"{report.objective} F1", "ms")


def against_mb(report: SearchReport) -> kit.Plot:
    """F1, with its interval, against the size on disk."""
    return fronted([_points(report, "mb")], "MB on disk (log)", f"{report.objective} F1", "MB")


def _points(report: SearchReport, cost: str) -> list[Point]:
    points = []
    for row in shown(report):
        assert row.f1 is not None
        assert row.known_cost is not None
        size = row.known_cost.size_bytes / MB
        across = row.known_cost.ms if cost == "ms" else Estimate(size, size, size)
        own = row is report.chosen
        colour = OWN if own else OTHERS[4] if row.out else OTHERS[0]
        points.append(Point(row.name, colour, "o", own, across, row.f1))
    return points
