"""`distill finetune-int8`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.options import (
    checked,
    target_option,
    teacher_option,
    training_options,
)


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
    from distill.core.recipe import Recipe

    config = Recipe.load(recipe, overrides).finetune
    splits = checked(data, run)
    from distill.core.isa import detect, weight_limit
    from distill.core.terminal import note
    from distill.data.run_folder import weights_of
    from distill.model.checkpoint import Checkpoint
    from distill.training.run import begin
    from student.finetune import fine_tune
    from student.train import Lessons
    from teacher.soft_targets import gather

    student, limit = Checkpoint.load(run), weight_limit(target or detect())
    named = {"student": student.sha256, "teachers": [weights_of(t) for t in teachers], "weight_limit": limit}
    named["finetune"] = [config.epochs, config.learning_rate]
    if not begin(out, "student", student.classifier.config, splits, resume, overwrite, named):
        return note(f"{out}: this run is finished already")
    fine_tune(student, config, splits, Lessons(gather(teachers, splits.train)), limit, out, resume)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")
