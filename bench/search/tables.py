"""The table of a search, for the terminal and the page, and its sentences."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.text import NONE
from student.search.report import MB, Cost, Measurement, Row, SearchReport


def candidates(report: SearchReport) -> Grid:
    """A row a candidate: the recommended one first, then the finalists by their milliseconds, then the others."""
    rows = sorted(report.rows, key=lambda row: _order(report, row))
    headings = ("", "p50 ms", "MB", "peak MB", f"{report.objective} F1", "- best", "micro-F1", "macro-F1", "folds")
    title = f"{len(rows)} students, out of fold on {report.examples} examples"
    return Grid(
        title=title,
        headings=(*headings, "why not"),
        rows=tuple(_cells(report, row) for row in rows),
        emphasis=tuple(_emphasis(report, row) for row in rows),
        words=(0, len(headings)),
    )


def settings(report: SearchReport) -> Grid:
    """What each candidate is."""
    rows = ((row.name, row.precision, _settings(row)) for row in report.rows)
    return Grid("Settings that differ from the recipe", ("", "precision", "settings"), tuple(rows), words=(0, 1, 2))


def sentences(report: SearchReport) -> Iterator[str]:
    """What is recommended and why, and how far that can be believed."""
    if report.recommendation is not None:
        name = report.recommendation.name
        yield f"Recommended: {name}" if name else "Recommended: none"
        yield from report.recommendation.reason
    yield report.caveat
    if report.trained is not None:
        yield measured(report.trained)
        yield from (f"NOISY, do not quote these times: {reason}" for reason in report.trained.noise)


def measured(of: Measurement) -> str:
    """Under which conditions the times were measured."""
    threads = f"{of.threads} thread{'s' if of.threads != 1 else ''}"
    return (
        f"Times: median of {of.calls} calls, one post each, from image file and text to labels, {threads}, in "
        f"turns on {of.machine}; intervals hold 95 %."
    )


def _order(report: SearchReport, row: Row) -> tuple[bool, bool, int, float]:
    cost = row.known_cost
    return (row is not report.chosen, bool(row.out), -row.folds, cost.ms.value if cost else float("inf"))


def _cells(report: SearchReport, row: Row) -> tuple[str, ...]:
    cost = row.known_cost
    about = "" if row.cost is not None else "~"  # of an untrained one
    return (
        row.name,
        *((f"{about}{cost.ms:.2f}", _mb(cost), f"{cost.peak_bytes / MB:.0f}") if cost else (NONE, NONE, NONE)),
        f"{row.f1:.3f}" if row.f1 else NONE,
        _gain(row),
        f"{row.metrics.micro_f1.value:.3f}" if row.metrics else NONE,
        f"{row.metrics.macro_f1.value:.3f}" if row.metrics else NONE,
        f"{row.folds} of {report.folds}" if row.folds else NONE,
        row.out,
    )


def _gain(row: Row) -> str:
    if row.gain is None:
        return NONE
    return "best" if row.gain.low == row.gain.high == 0 else f"{row.gain:+.3f}"


def _mb(cost: Cost) -> str:
    return f"{cost.size_bytes / MB:.1f}"


def _emphasis(report: SearchReport, row: Row) -> Emphasis:
    if row is report.chosen:
        return "strong"
    return "weak" if row.out else ""


def _settings(row: Row) -> str:
    return " ".join(f"{key}={value}" for key, value in row.settings.items() if key != "precision") or "the recipe's"
