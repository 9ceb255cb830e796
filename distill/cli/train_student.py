"""`distill train-student`: distil a teacher into a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.options import column_options, teacher_options, training_options
from distill.core.columns import Columns
from distill.core.transcript import recorded


@click.command()
@teacher_options
@click.option(
    "--unlabelled",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Unlabelled rows (.json, .jsonl, .csv) that the teacher, or the answers, label for the student.",
)
@click.option("--control", is_flag=True, help="Also train the student without the teacher, and compare.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Seeds of the comparison; more than 1 implies --control.",
)
@training_options
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
    report_to: tuple[str, ...],
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
    from distill.core.terminal import note
    from distill.data.run_folder import is_run

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
    )
    if not was_finished:
        note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")
