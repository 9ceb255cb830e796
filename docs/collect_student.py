"""Put the figures of finished student runs, their Bundles and one benchmark into docs/results/student.json.

    python docs/collect_student.py --verdict NAME=RUN ... --size NAME=RUN ... --int8 NAME=BUNDLE ... --bench FILE

A run under --verdict was trained with --control, or is a JSON file that holds its "distillation"; a Bundle of size
NAME is the row of the benchmark whose name holds "(NAME-bundle)"; a Bundle under --int8 stands beside its fp32
parent. Measures nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.report.types import BenchReport, Row, read
from distill.core.errors import RunError
from distill.core.files import read_json, write_json

OUT = Path(__file__).parent / "results" / "student.json"
WHOLE = "out-of-fold train"
ROWS = {
    f"{WHOLE}, thresholds cross-fitted": "both",
    f"{WHOLE}, text alone": "text alone",
    f"{WHOLE}, image alone": "image alone",
    "dev, not fitted on": "dev",
    "dev, thresholds cross-fitted": "dev",  # of a run without folds
}
FIGURES = ("examples", "micro_f1", "macro_f1", "micro_ap")


def quality(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The overall figures of the rows that the page shows."""
    return {ROWS[row["what"]]: {key: row[key] for key in FIGURES} for row in rows if row["what"] in ROWS}


def metrics(run: Path) -> Path:
    """Where a run's figures stand."""
    return run if run.suffix == ".json" else run / "metrics.json"


def size(name: str, run: Path, report: BenchReport) -> dict[str, Any]:
    """One row of the table of sizes."""
    timed = [row for row in report.rows if f"({name}-bundle)" in row.name]
    if len(timed) != 1:
        raise click.UsageError(f"the benchmark has {len(timed)} rows that are named ({name}-bundle), expected one")
    config = read_json(run / "run.json", RunError)["config"]
    measured = quality(read_json(metrics(run), RunError)["quality"])
    if config["image"]["weights"] == "" and not Path(config["image"]["model"]).is_dir():
        measured = {}  # an image encoder with random weights stands there for its time and its bytes
    return {
        "name": name,
        "settings": {
            "layers": config["text"]["layers"],
            "vocabulary": config["text"]["vocab_size"],
            "image": config["image"]["model"],
            "size": config["image"]["size"],
            "epochs": config["epochs"],
            "distill": config["distill"],
        },
        "quality": measured,
        "latency": latency(timed[0]),
        "size_bytes": timed[0].size_bytes,
    }


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


def int8(bundle: Path) -> dict[str, Any]:
    """What was tried for one Bundle, and what it lost."""
    own, parent = (
        read_json(folder / "manifest.json", RunError)["figures"]
        for folder in (bundle, bundle.with_name(f"{bundle.name}-fp32"))
    )
    return {
        "tried": own["tried"],
        "drift": own["drift"],
        "fp32": quality(parent["quality"])["dev"],
        "int8": quality(own["quality"])["dev"],
    }


@click.command()
@click.option("--verdict", "verdicts", multiple=True, required=True, metavar="NAME=RUN")
@click.option("--size", "sizes", multiple=True, required=True, metavar="NAME=RUN")
@click.option("--int8", "bundles", multiple=True, required=True, metavar="NAME=BUNDLE")
@click.option("--bench", "bench_file", required=True, type=click.Path(path_type=Path))
def collect(verdicts: tuple[str, ...], sizes: tuple[str, ...], bundles: tuple[str, ...], bench_file: Path) -> None:
    """Write docs/results/student.json."""
    report = read(bench_file)
    named = [[pair.partition("=")[::2] for pair in pairs] for pairs in (verdicts, sizes, bundles)]
    write_json(
        OUT,
        {
            "conditions": conditions(report),
            "verdicts": {name: read_json(metrics(Path(run)), RunError)["distillation"] for name, run in named[0]},
            "sizes": [size(name, Path(run), report) for name, run in named[1]],
            "int8": {name: int8(Path(bundle)) for name, bundle in named[2]},
        },
    )


if __name__ == "__main__":
    collect()
