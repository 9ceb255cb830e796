"""`distill train-student`: distil a teacher into a small model."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    teacher_option,
    training_options,
)


@click.command()
@teacher_option
@click.option(
    "--unlabelled",
    type=click.Path(path_type=Path),
    help="Rows without labels (.json, .jsonl or .csv) that the teacher labels and the student learns from too.",
)
@click.option("--control", is_flag=True, help="Also train the same student without the teacher, and judge.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Repeat the comparison; implies --control.",
)
@training_options
def train_student(
    data: Path,
    teachers: tuple[Path, ...],
    unlabelled: Path | None,
    control: bool,
    seeds: int,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
) -> None:
    """Distil a teacher's stored outputs and the labels into a small model.

    \b
    Examples:
      distill train-student --data memes/ --teacher runs/teacher --out runs/student
      distill train-student --data memes/ --teacher runs/teacher --out runs/student --control --seeds 3
    """
    from distill import api

    api.train_student(
        data,
        out,
        teacher=teachers,
        unlabelled=unlabelled,
        control=control,
        seeds=seeds,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
    )
    from distill.core.terminal import note

    note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")
