"""What a benchmark's page is made of; page.html.jinja says where its tables, plots and sentences go."""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure.latency import min_calls_for_quantile
from bench.report import tables
from bench.report.kit.html import render
from bench.report.page import plots, plots_parts, plots_quality, plots_scaling, sentences
from bench.report.page.devices import colours_of, devices_of, distinct_rows, same_examples
from bench.report.types import BenchReport


def html_of(reports: Sequence[BenchReport]) -> str:
    """The page of one report or more."""
    devices = devices_of(reports)
    rows = [(device.name, row) for device in devices for row in device.report.rows]
    names, many = ", ".join(dict.fromkeys(report.own.name for report in reports)), len(devices) > 1
    return render(
        "report/page/page.html.jinja",
        title=f"{names} on {f'{len(devices)} devices' if many else devices[0].title}",
        devices=devices,
        groups=same_examples(devices),
        distinct_rows=distinct_rows,
        colours=colours_of(devices),
        headline=tables.headline([row for _, row in rows], [name for name, _ in rows] if many else ()),
        few_calls=any(None in (row.timings[0].p90, row.timings[0].p99) for _, row in rows),
        min_calls_for_quantile=min_calls_for_quantile,
        sentences=sentences,
        tables=tables,
        plots=plots,
        parts=plots_parts,
        scaling=plots_scaling,
        quality=plots_quality,
    )
