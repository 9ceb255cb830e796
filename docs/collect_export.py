"""Put the figures of finished Bundles, one benchmark and replays on other processors into docs/results/export.json.

    python docs/collect_export.py --bench FILE --bundle NAME=BUNDLE ... --verified FILE ...

The benchmark is that of the table of times; every Bundle is quantised and stands beside its fp32 parent; FILE under
--verified was written by `distill verify --out`. Measures nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.figures import BenchReport, Row, read
from distill.errors import BundleError, RunError
from distill.files import read_json, write_json

OUT = Path(__file__).parent / "results" / "export.json"


def times(path: Path) -> dict[str, Any]:
    """What the table of times needs of a benchmark."""
    report = read(path)
    rows = [{"name": row.name, "size_bytes": row.size_bytes, **latency(row)} for row in report.rows]
    return {"conditions": conditions(report), "calls": report.rows[0].timings[0].calls, "rows": rows}


def latency(row: Row) -> dict[str, Any]:
    """A row's headline."""
    timing = row.timings[0]
    return {
        "p50_ms": timing.p50.value,
        "p50_interval": {"low": timing.p50.low, "high": timing.p50.high},
        "p90_ms": timing.p90.value if timing.p90 else None,
        "round_spread": timing.round_spread,
        "cold_start_ms": row.cold.total_ms,
        "peak_rss_bytes": row.memory.peak_bytes,
    }


def conditions(report: BenchReport) -> dict[str, Any]:
    """What the figures depend on."""
    timing = report.rows[0].timings[0]
    return {
        "cpu": report.machine.cpu,
        "int8_target": report.machine.int8_target,
        "cores": report.machine.cores,
        "threads": timing.threads,
        "batch": timing.batch,
        "calls": timing.calls,
        "packages": report.conditions.packages,
    }


def bundle(folder: Path) -> dict[str, Any]:
    """What was tried for one Bundle, what it reached and what it lost."""
    own, parent = (
        read_json(path / "manifest.json", BundleError) for path in (folder, folder.with_name(f"{folder.name}-fp32"))
    )
    figures = own["figures"]
    return {
        "precision": own["precision"],
        "target": own["target"],
        "fp32_bytes": parent["figures"]["size_bytes"],
        **{key: figures[key] for key in ("size_bytes", "time_ratio", "tried", "coverage", "drift", "parity")},
    }


@click.command()
@click.option("--bench", "bench_file", required=True, type=click.Path(path_type=Path))
@click.option("--bundle", "bundles", multiple=True, required=True, metavar="NAME=BUNDLE")
@click.option("--verified", multiple=True, required=True, type=click.Path(path_type=Path))
def collect(bench_file: Path, bundles: tuple[str, ...], verified: tuple[Path, ...]) -> None:
    """Write docs/results/export.json."""
    named = [pair.partition("=")[::2] for pair in bundles]
    write_json(
        OUT,
        {
            "times": times(bench_file),
            "bundles": {name: bundle(Path(folder)) for name, folder in named},
            "verified": [read_json(path, RunError) for path in verified],
        },
    )


if __name__ == "__main__":
    collect()
