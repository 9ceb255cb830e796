"""Put the figures of finished student runs and one benchmark of their Bundles into docs/results/student.json.

    python docs/collect_student.py --teacher RUN --main RUN --size NAME=RUN ... --bench BENCH.json

`--main` was trained with --control; a Bundle of size NAME is the row of the benchmark whose name holds "(NAME)".
Measures nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.report import read
from distill.errors import RunError
from distill.files import read_json, write_json

OUT = Path(__file__).parent / "results" / "student.json"
ROWS = {"both": 0, "text alone": 2, "picture alone": 3, "dev": 4}  # of a run whose thresholds are out of fold
FIGURES = ("examples", "micro_f1", "micro_f1_interval", "macro_f1", "macro_f1_interval", "micro_ap")


def quality(run: Path) -> dict[str, Any]:
    """The overall figures of a run's rows."""
    rows = read_json(run / "metrics.json", RunError)["quality"]
    return {name: {key: rows[index][key] for key in FIGURES} for name, index in ROWS.items()}


def settings(run: Path) -> dict[str, Any]:
    """What the rows of the table differ in."""
    config = read_json(run / "run.json", RunError)["config"]
    text, picture = config["text"], config["picture"]
    return {
        "layers": text["layers"],
        "vocabulary": text["vocabulary"],
        "picture": picture["model"],
        "size": picture["size"],
        "epochs": config["epochs"],
        "distill": config["distill"],
    }


@click.command()
@click.option("--teacher", required=True, type=click.Path(path_type=Path))
@click.option("--main", "main_run", required=True, type=click.Path(path_type=Path))
@click.option("--size", "sizes", multiple=True, required=True, metavar="NAME=RUN")
@click.option("--bench", "bench_file", required=True, type=click.Path(path_type=Path))
def collect(teacher: Path, main_run: Path, sizes: tuple[str, ...], bench_file: Path) -> None:
    """Write docs/results/student.json."""
    report = read(bench_file)
    rows = []
    for size in sizes:
        name, _, run = size.partition("=")
        timed = [row for row in report.rows if f"({name})" in row["name"]]
        if len(timed) != 1:
            raise click.UsageError(f"{bench_file}: {len(timed)} rows are named ({name}), expected one")
        latency = {key: timed[0]["latency"][key] for key in ("p50_ms", "p90_ms", "peak_rss_bytes", "round_spread")}
        rows.append(
            {
                "name": name,
                "settings": settings(Path(run)),
                "quality": quality(Path(run)),
                "latency": latency,
                "size_bytes": timed[0]["size_bytes"],
            }
        )
    metrics = read_json(main_run / "metrics.json", RunError)
    write_json(
        OUT,
        {
            "conditions": report.conditions,
            "teacher": quality(teacher),
            "constant": metrics["constant"],
            "verdict": metrics["distillation"],
            "sizes": rows,
        },
    )


if __name__ == "__main__":
    collect()
