"""What the figures of a report can be, and what must fit together in it before tables and plots are made."""

from __future__ import annotations

from typing import Any

from distill.core.settings.bounds import SHARE, Range, check_bounds

COUNT: Range = (0, 1e15)  # bytes, multiply-accumulates, examples
AT_LEAST_ONE: Range = (1, 1e9)
TIME_MS: Range = (1e-6, 1e9)  # eleven days
PART_MS: Range = (0, 1e9)  # of a step that may take no time at all
CHANGE: Range = (-1, 1)

BOUNDS: dict[str, Range] = {
    **dict.fromkeys(("threads", "batch", "decisions", "examples", "calls", "calls_a_round", "posts"), AT_LEAST_ONE),
    **dict.fromkeys(("p50", "p90", "p99", "raw_ms", "p50_ms", "starts_ms", "model_ms", "ideal_ms"), TIME_MS),
    **dict.fromkeys(("model_raw_ms", "posts_per_s", "seconds"), TIME_MS),
    **dict.fromkeys(("ms", "total_ms", "import_ms", "open_ms", "first_call_ms"), PART_MS),
    **dict.fromkeys(("round_spread", "joules", "of_peak", "load"), (0, 1e6)),
    **dict.fromkeys(("int8_gops", "fp32_gops", "read_gb_s"), (1e-6, 1e9)),
    **dict.fromkeys(("precision", "recall", "f1", "average_precision", "threshold", "ece"), SHARE),
    **dict.fromkeys(("micro_f1", "macro_f1", "macro_f1_empty_as_one", "micro_ap", "hierarchical_f1"), SHARE),
    **dict.fromkeys(("Bin.low", "Bin.high", "mean_probability", "frequency"), SHARE),
    **dict.fromkeys(("Difference.micro_f1", "Difference.macro_f1", "Verdict.gain"), CHANGE),
    **dict.fromkeys(("margin", "detectable"), SHARE),
    "accuracy": SHARE,
    "ratio": (1e-6, 1e6),
    "cores": (1, 1e6),
    "granted": (0, 1e6),
}


def check_report(report: Any) -> None:
    """Raise ValueError for a BenchReport with a figure that none can have, or whose parts do not fit together."""
    check_bounds(report, BOUNDS, COUNT)
    if sum(row.own for row in report.rows) != 1:
        raise ValueError("it needs one own row")
    _check_times(report.rows)
    for quality in (part for row in report.rows for part in _qualities(row)):
        if tuple(label.name for label in quality.labels) != report.labels:
            raise ValueError("the labels of a row are not the report's")
        if [group.name for group in quality.groups or ()] != [group.name for group in report.constant.groups or ()]:
            raise ValueError("the groups of labels of a row are not the report's")
    labels = range(len(report.labels))
    unknown = (report.unknown,) if report.unknown else ()
    for lists in (report.gold, *unknown, *(row.decided for row in report.rows)):
        if len(lists) != len(report.gold) or any(index not in labels for columns in lists for index in columns):
            raise ValueError("labels of another number of examples or labels")


def _check_times(rows: Any) -> None:
    """All were timed in the same settings, and as often: ratios are of pairs of rounds."""
    first = rows[0]
    settings = [(timing.threads, timing.batch) for timing in first.timings]
    for row in rows:
        if not row.timings or [(timing.threads, timing.batch) for timing in row.timings] != settings:
            raise ValueError(f"{row.name} has other timings than the first row, or none")
        if not row.cold.starts_ms or any(not timing.raw_ms or not all(timing.raw_ms) for timing in row.timings):
            raise ValueError(f"{row.name} has no times of its starts or calls")
        if any(_lengths(ours) != _lengths(theirs) for ours, theirs in zip(row.timings, first.timings, strict=True)):
            raise ValueError(f"{row.name} has another number of rounds or calls than the first row")
        if _streams(row) != _streams(first) or not all(stream.seconds for stream in row.streams or ()):
            raise ValueError(f"{row.name} has other streams than the first row, or no times of them")


def _lengths(timing: Any) -> list[int]:
    return [len(part) for part in timing.raw_ms]


def _streams(row: Any) -> list[tuple[int, int, int]]:
    return [(stream.threads, stream.batch, len(stream.seconds)) for stream in row.streams or ()]


def _qualities(row: Any) -> list[Any]:
    every = (row.quality, row.quality_own_thresholds, row.quality_text_alone, row.quality_image_alone)
    return [quality for quality in every if quality is not None]
