"""`distill train-student`."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    checked,
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
    from distill.core.recipe import Recipe

    config = Recipe.load(recipe, overrides).student
    splits = checked(data, teachers[0])
    from distill.core.terminal import note
    from distill.data.checks import content_hash, read_unlabelled
    from distill.data.run_folder import weights_of
    from distill.training.run import begin
    from student import control as experiment
    from student import train
    from student.verdict import Verdict
    from teacher.soft_targets import gather, gather_folds

    extra = read_unlabelled(unlabelled, splits) if unlabelled else []
    named = {"teachers": [weights_of(t) for t in teachers], "unlabelled": sorted(map(content_hash, extra))}
    if not begin(out, "student", config, splits, resume, overwrite, named):
        return note(f"{out}: this run is finished already")
    folds = gather_folds(teachers, splits.train) if config.out_of_fold else []
    lessons = train.Lessons(gather(teachers, [*splits.train, *extra]), folds, extra)

    def compare() -> Verdict:
        place = out / "training"
        return experiment.compare(config, splits, lessons, lambda e: gather(teachers, e), seeds, place, resume)

    train.train(config, splits, lessons, out, resume, compare if control or seeds > 1 else None)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")
