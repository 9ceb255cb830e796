"""What frozen encoders and logistic regression give on the three datasets: docs/results-teacher.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.core.errors import RunError
from distill.core.storage.files import read_json
from distill.data.run_folder import BASELINES, RUN_FILE
from experiments import results
from experiments.results import figure, notes, read, table

DATASETS = ("film genres", "harmful memes", "propaganda memes")


@click.command("baselines")
@results.runs_option
@results.commit_option
@click.pass_obj
def collect(folder: Path, folders: tuple[str, ...], commit: str) -> None:
    """Collect the comparisons of finished `distill baseline` runs (baselines.json)."""
    results.collect(folder, "baselines", folders, commit, _run)


def _run(folder: Path) -> dict[str, Any]:
    config = read_json(folder / RUN_FILE, RunError)["config"]
    encoders = {name: Path(config[name]["model"]).name for name in ("text", "image")}
    measured = read_json(folder / BASELINES, RunError)
    sizes = {name: cost["size_bytes"] for name, cost in measured["costs"].items()}
    return {"encoders": encoders, "max_tokens": config["text"]["max_tokens"], "sizes": sizes} | {
        key: measured[key] for key in ("comparison", "chosen")
    }


def baselines(dataset: str) -> str:
    """One dataset's baselines, the chosen one first."""
    run = read("baselines")[dataset]
    comparison = run["comparison"]
    objective = comparison["objective"]
    rows = [
        (
            row["name"],
            *(figure(row["arm"][name]) for name in ("micro_f1", "macro_f1", "micro_ap")),
            "" if row["gain"] is None else figure(row["gain"][objective], "+.3f"),
            f"{run['sizes'][row['name']] / 1e6:.1f}",
        )
        for row in comparison["recipes"]
    ]
    constant = comparison["constant"]
    always = f"always {', '.join(comparison['constant_names'])}"
    gain = figure(comparison["constant_gain"][objective], "+.3f")
    rows.append((always, figure(constant["micro_f1"]), figure(constant["macro_f1"]), "", gain, ""))
    headings = "| micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] | mean of both F1 - first row | MB, fp32"
    encoders = run["encoders"]
    return table(headings, rows) + notes(
        f"{comparison['examples']:,} training examples out of fold, {comparison['folds']} folds; "
        f"{encoders['text']} (at most {run['max_tokens']} tokens) and {encoders['image']}, frozen.",
        "One penalty for all labels, chosen in each fold by the log loss of held-out rows; thresholds cross-fitted "
        "over rows for the mean of both F1.",
    )
