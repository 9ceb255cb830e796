"""`distill train-student`: distil a teacher into a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.options import (
    column_options,
    dry_run_option,
    teacher_options,
    training_options,
    unlabelled_option,
)
from distill.cli.results import print_json_file, same_settings
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@teacher_options
@unlabelled_option
@click.option("--control", is_flag=True, help="Also train the student without the teacher, and compare.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Seeds of the comparison; more than 1 implies --control.",
)
@training_options("student.seed")
@baseline_options
@dry_run_option
@column_options
@recorded
def train_student(
    data: Path,
    teachers: tuple[Path, ...],
    teacher_answers: Path | None,
    answers_are: Any,
    unlabelled: Path | None,
    control: bool,
    seeds: int,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Distil a teacher into a small student model.

    The student learns from the labels and from the teacher's stored soft targets. With --control, the same student
    is also trained without the teacher, and the difference is reported with its interval.

    A teacher need not be a run: --teacher-answers FILE takes a probability or logit for each id and label from a
    vision-language model, another toolkit or several annotators. Rows without an answer learn from their labels.

    \b
    Examples:
      distill train-student --data memes/ --teacher runs/teacher --out runs/student
      distill train-student --data memes/ --teacher runs/teacher --out runs/student --control --seeds 3
      distill train-student --data memes/ --teacher-answers answers.jsonl --out runs/student
    """
    from distill import api
    from distill.cli.dry_run import plan_student, show_plan
    from distill.core.output.terminal import note
    from distill.data.run_folder import METRICS, is_run
    from distill.data.teacher_sources import TeacherSources

    if dry_run:
        sources = TeacherSources.of(teachers or None, teacher_answers, answers_are)
        arms = 2 * seeds if control or seeds > 1 else 1
        return show_plan(plan_student(data, out, recipe, overrides, columns, sources, arms, unlabelled))
    was_finished = is_run(out) and not overwrite
    api.train_student(
        data,
        out,
        teacher=teachers or None,
        teacher_answers=teacher_answers,
        answers_are=answers_are,
        unlabelled=unlabelled,
        control=control,
        seeds=seeds,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
        columns=columns,
        report_to=report_to,
        baseline=baseline,
        margin=margin,
    )
    print_json_file(out / METRICS)
    if not was_finished:
        rest = same_settings(recipe, overrides, "export")
        note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle{rest}")
    return None
