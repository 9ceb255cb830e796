"""The commands that make models: thin, as in cli.py."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click

from distill.cli_options import checked, target_option, teacher_option, training_options

TRY = re.compile(r"\w[\w +-]*")  # no dot: names of files beside it have one


@click.command()
@training_options
def train_teacher(
    data: Path, out: Path, recipe: Path | None, overrides: tuple[str, ...], resume: bool, overwrite: bool
) -> None:
    """Train the full model: focal loss, early stopping, thresholds, and logits for its students.

    \b
    Example:
      distill train-teacher --data memes/ --out runs/teacher --set teacher.epochs=12
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).teacher
    splits = checked(data)
    from distill.checkpoint import begin
    from distill.terminal import note
    from teacher import train

    if not begin(out, "teacher", config, splits, resume, overwrite):
        return note(f"{out}: this run is finished already")
    train.train(config, splits, out, resume)
    return note(f"Teacher in {out}. Next: distill train-student --data {data} --teacher {out} --out runs/student")


@click.command()
@training_options
@click.option(
    "--try",
    "tries",
    multiple=True,
    required=True,
    metavar='NAME["=KEY=VALUE KEY=VALUE ..."]',
    help="A teacher to try: the recipe, with some values changed; the first is what the others are compared with.",
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Folds of the training split.")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(1), help="Trainings of each in each fold."
)
def compare_teachers(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    tries: tuple[str, ...],
    folds: int,
    seeds: int,
) -> None:
    """Several teachers on the same folds and seeds, with paired intervals; nothing but figures is kept.

    \b
    Example:
      distill compare-teachers --data memes/ --out runs/fusion --try concat \\
          --try text="teacher.head.uses=text" --try cross="teacher.head.fusion=transformer"
    """
    from dataclasses import asdict

    from distill.recipe import Recipe

    pairs = [words.partition("=")[::2] for words in tries]
    configs = {name: Recipe.load(recipe, (*overrides, *shlex.split(words))).teacher for name, words in pairs}
    if len(configs) < len(pairs) or not all(TRY.fullmatch(name) for name in configs):
        raise click.UsageError(
            "--try: give each teacher a name of its own that can be a folder's: letters, digits, blanks, _, + and -"
        )
    splits = checked(data)
    from distill.checkpoint import begin
    from distill.processes import check_batch_size
    from distill.terminal import note, output
    from teacher import compare

    for config in configs.values():
        check_batch_size(config.batch_size)
    asked = {"tries": {name: asdict(config) for name, config in configs.items()}, "folds": folds, "seeds": seeds}
    begin(out, "teacher", next(iter(configs.values())), splits, resume, overwrite, asked)
    output.print(compare.to_table(compare.compare(configs, splits, folds, seeds, out, resume)))
    note(f"Written: {out / compare.FILE}")


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
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).student
    splits = checked(data, teachers[0])
    from distill.checkpoint import begin, weights_of
    from distill.integrity import content_hash, read_unlabelled
    from distill.terminal import note
    from student import control as experiment
    from student import train
    from student.verdict import Verdict
    from teacher.targets import gather, gather_folds

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


@click.command()
@click.argument("run", metavar="STUDENT", type=click.Path(path_type=Path))
@teacher_option
@target_option
@training_options
def finetune_int8(
    run: Path,
    teachers: tuple[Path, ...],
    target: Any,
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
) -> None:
    """Train a student on in int8 arithmetic, for one that loses too much when it is quantised.

    Only its matrix products are rounded; export then writes them as static int8 in the ranges learned here.

    \b
    Example:
      distill finetune-int8 runs/student --teacher runs/teacher --data memes/ --out runs/student-int8
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).finetune
    splits = checked(data, run)
    from distill.checkpoint import Checkpoint, begin, weights_of
    from distill.terminal import note
    from export.isa import detect, weight_limit
    from student.finetune import fine_tune
    from student.train import Lessons
    from teacher.targets import gather

    student, limit = Checkpoint.load(run), weight_limit(target or detect())
    named = {"student": student.sha256, "teachers": [weights_of(t) for t in teachers], "weight_limit": limit}
    named["finetune"] = [config.epochs, config.learning_rate]
    if not begin(out, "student", student.classifier.config, splits, resume, overwrite, named):
        return note(f"{out}: this run is finished already")
    fine_tune(student, config, splits, Lessons(gather(teachers, splits.train)), limit, out, resume)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")
