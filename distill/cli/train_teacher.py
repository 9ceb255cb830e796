"""`distill train-teacher`: train the full model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.options import column_options, dry_run_option, training_options, unlabelled_to_folds_option
from distill.cli.results import print_json_file, same_settings
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@training_options("teacher.seed")
@unlabelled_to_folds_option
@baseline_options
@dry_run_option
@column_options
@recorded
def train_teacher(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
    unlabelled: Path | None,
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Train the teacher, the full-size model.

    Trains with focal loss and early stopping, fits a threshold per label, and stores the soft targets that students
    learn from.

    \b
    Example:
      distill train-teacher --data memes/ --out runs/teacher --set teacher.epochs=12
    """
    from distill import api
    from distill.cli.dry_run import plan_teacher, show_plan
    from distill.core.output.terminal import note
    from distill.data.run_folder import METRICS, is_run

    if dry_run:
        return show_plan(plan_teacher(data, out, recipe, overrides, columns, unlabelled))
    was_finished = is_run(out) and not overwrite
    api.train_teacher(
        data,
        out,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
        columns=columns,
        report_to=report_to,
        unlabelled=unlabelled,
        baseline=baseline,
        margin=margin,
    )
    print_json_file(out / METRICS)
    if not was_finished:
        rest = same_settings(recipe, overrides, "student")
        note(
            f"Teacher in {out}. Next: distill train-student --data {data} --teacher {out} --out runs/student{rest}"
        )
    return None
