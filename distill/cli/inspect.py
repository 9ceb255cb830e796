"""`distill inspect`: what a model gets wrong, on one page. Imports what is slow inside the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.options import (
    BUNDLE,
    column_options,
    data_option,
    json_option,
    out_folder,
    split_option,
)
from distill.cli.results import print_json_file
from distill.core.settings.columns import Columns


@click.command()
@click.argument("folder", metavar="RUN_OR_BUNDLE", type=BUNDLE)
@data_option
@split_option
@click.option(
    "--worst", default=12, show_default=True, type=click.IntRange(1, 200), help="Number of worst examples to show."
)
@out_folder("New folder for the page and its plots.")
@baseline_options
@json_option
@column_options
def inspect(
    folder: Path,
    data: Path,
    split: str | None,
    worst: int,
    out: Path,
    overwrite: bool,
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Show what a model gets right and wrong, on one page.

    Writes an HTML page, its plots as PNG and its figures as JSON: errors by label, precision-recall curves with the
    thresholds, label co-occurrence, learning curves, calibration, and the worst examples. The page contains images
    and texts of the split: share it only with people who may see them.

    \b
    Example:
      distill inspect runs/student --data memes/ --out runs/student-inspected
    """
    from bench.inspect.folder import FIGURES, ready

    ready(out, overwrite)  # what is in the way is found before the long work
    from distill.api import read_dataset

    splits = read_dataset(data, folder, columns)
    from bench.inspect import inspect as inspect_model
    from bench.inspect import write
    from bench.quality.baseline import answers_beside
    from bench.quality.eval_set import EvalSet
    from bench.runtimes.open_model import open_variant
    from bench.runtimes.variants import variant_from_path
    from distill.core.output.terminal import note

    eval_set, variant = EvalSet.from_splits(splits, split), variant_from_path(folder)
    name = f"{variant.name} ({folder.resolve().name})"
    answers = answers_beside(folder, baseline, splits, eval_set, margin)
    findings = inspect_model(open_variant(variant), eval_set, name, worst, answers)
    page = write(findings, eval_set.examples, out, overwrite)
    print_json_file(out / FIGURES)
    note(f"Written: {page}, with the figures in inspect.json and every plot as PNG")
