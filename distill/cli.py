"""The command line: one thin command each. Imports what is slow inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from distill import __version__
from distill.errors import DistillError


class Commands(click.Group):
    """A group that turns our errors into one line and an exit code; --debug shows the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, translating what it raises."""
        try:
            return super().invoke(ctx)
        except DistillError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="distill")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Train a teacher, distil a student, export it as int8 ONNX, and measure them all on a CPU.

    \b
    distill train-teacher --data DIR --out runs/teacher
    distill train-student --data DIR --teacher runs/teacher --out runs/student
    distill export runs/student --data DIR --int8 --out runs/bundle
    distill bench runs/bundle --data DIR --against runs/teacher --against runs/student
    distill predict runs/bundle --image meme.jpg --text "..."

    To see all of it work on generated data, without any download: distill demo
    """


def run() -> None:
    """What the `distill` script calls."""
    main(prog_name="distill")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_option = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder with train, dev and perhaps test (.json, .jsonl or .csv), or one file that is split 70/15/15.",
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both training commands share."""
    options: list[Decorator] = [
        data_option,
        click.option("--out", required=True, type=click.Path(path_type=Path), help="The run's folder."),
        click.option("--recipe", type=click.Path(path_type=Path), help="A TOML file laid over the defaults."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one recipe value."),
        click.option("--resume", is_flag=True, help="Go on with an interrupted run."),
        click.option("--overwrite", is_flag=True, help="Remove the run that stands at --out first."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _checked(data: Path, run: Path | None = None) -> Any:
    """Splits that passed the integrity check; the label set of `run` when one is given."""
    from distill.data import read_splits
    from distill.integrity import check
    from distill.terminal import note, warn

    labels = None
    if run is not None:
        from distill.checkpoint import labels_of

        labels = labels_of(run)
    splits = read_splits(data, labels)
    for line in check(splits).warnings:
        warn(line)
    sizes = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} test"
    note(f"{data}: {sizes} examples, {len(splits.labels)} labels")
    return splits


@main.command()
@training_options
def train_teacher(data: Path, out: Path, recipe: Path | None, overrides: tuple[str, ...], resume: bool, overwrite: bool) -> None:
    """Train the full model: focal loss, early stopping, thresholds, and logits for its students.

    \b
    Example:
      distill train-teacher --data memes/ --out runs/teacher --set teacher.epochs=12
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).teacher
    splits = _checked(data)
    from distill.checkpoint import begin
    from distill.terminal import note
    from teacher import targets, train

    if not begin(out, "teacher", config, splits, resume, overwrite):
        return note(f"{out}: this run is finished already")
    teacher = train.train(config, splits, out, resume)
    targets.write(teacher, splits.train)
    return note(f"Teacher in {out}. Next: distill train-student --data {data} --teacher {out} --out runs/student")


@main.command()
@click.option("--teacher", required=True, type=click.Path(path_type=Path), help="A finished teacher's folder.")
@training_options
def train_student(
    data: Path, teacher: Path, out: Path, recipe: Path | None, overrides: tuple[str, ...], resume: bool, overwrite: bool
) -> None:
    """Distil a teacher's stored logits and the labels into a small model.

    \b
    Example:
      distill train-student --data memes/ --teacher runs/teacher --out runs/student
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).student
    splits = _checked(data, teacher)
    from distill.checkpoint import begin
    from distill.terminal import note
    from student import train
    from teacher import targets

    if not begin(out, "student", config, splits, resume, overwrite):
        return note(f"{out}: this run is finished already")
    train.train(config, splits, targets.ensure(teacher, splits.train), out, resume)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")


if __name__ == "__main__":
    run()
