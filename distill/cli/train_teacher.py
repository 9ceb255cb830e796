"""`distill train-teacher`."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    checked,
    training_options,
)


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
    from distill.core.recipe import Recipe

    config = Recipe.load(recipe, overrides).teacher
    splits = checked(data)
    from distill.core.terminal import note
    from distill.training.run import begin
    from teacher import train

    if not begin(out, "teacher", config, splits, resume, overwrite):
        return note(f"{out}: this run is finished already")
    train.train(config, splits, out, resume)
    return note(f"Teacher in {out}. Next: distill train-student --data {data} --teacher {out} --out runs/student")
