"""The fault campaign of tests/campaign: run, and shown in docs/reliability.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.storage.files import read_json
from experiments.results import ROOT, conditions, read, table, write

REPORT = ROOT / "runs" / "campaign.json"  # its failures lie beside it
KINDS = {
    "fuzz": "strangers' files and settings, fuzzed",
    "metamorphic": "predictions in another form, order or company",
    "writers": "two writers and a killer on one --out",
    "streams": "closed, full, broken and non-UTF-8 streams",
}


@click.command("campaign")
@click.option(
    "--minutes", default=30.0, show_default=True, type=click.FloatRange(0.05), help="Of all kinds together."
)
@click.option("--seed", default=13, show_default=True, help="Of everything that is drawn.")
@click.pass_obj
def measure(results: Path, minutes: float, seed: int) -> None:
    """Fuzz, compare, disturb writers and break streams (campaign.json); exits with 1 when a failure was found."""
    REPORT.parent.mkdir(exist_ok=True)
    command = [
        sys.executable,
        str(ROOT / "tests" / "campaign"),
        "run",
        "--minutes",
        str(minutes),
        "--seed",
        str(seed),
    ]
    code = subprocess.run([*command, "--out", str(REPORT)], check=False).returncode
    if code not in (0, 1):
        raise BenchError(f"the campaign ended with exit code {code}; its output says why")
    write(results, "campaign", conditions(minutes=minutes), read_json(REPORT, BenchError))
    click.get_current_context().exit(code)


def tried() -> str:
    """Inputs, seconds and failures of each kind."""
    rows = []
    for kind, tree in read("campaign")["kinds"].items():
        rows.append((f"**{KINDS[kind]}**", *_cells(tree, len(tree["failures"]))))
        rows += [(name, *_cells(row, row["failures"])) for name, row in tree["by_name"].items()]
    return table(" | tried | seconds | failures", rows)


def sentence() -> str:
    """All of it."""
    tree = read("campaign")
    kinds = tree["kinds"].values()
    inputs, seconds = (sum(kind[key] for kind in kinds) for key in ("inputs", "seconds"))
    failures = sum(len(kind["failures"]) for kind in kinds)
    chosen = "by the code that they reach (atheris)" if tree["fuzzer"] == "coverage" else "at random"
    return (
        f"{inputs:,} inputs in {seconds / 60:.0f} minutes, {failures} failures. The fuzzer's inputs were chosen "
        f"{chosen}; seed {tree['seed']}.\n"
    )


def _cells(tree: dict[str, Any], failures: int) -> tuple[str, str, str]:
    return f"{tree['inputs']:,}", f"{tree['seconds']:.0f}", str(failures)
