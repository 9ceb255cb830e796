"""`distill compare-teachers`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from distill.cli.options import column_options, training_options
from distill.core.columns import Columns

TRY = re.compile(r"\w[\w +-]*")  # no dot: names of files beside it have one


@click.command()
@training_options
@click.option(
    "--try",
    "tries",
    multiple=True,
    required=True,
    metavar='NAME["=KEY=VALUE KEY=VALUE ..."]',
    help="Name of a teacher and the settings that it changes. Repeatable; the first is the reference.",
)
@click.option(
    "--folds", default=5, show_default=True, type=click.IntRange(2), help="Number of cross-validation folds."
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Number of seeds in each fold.")
@column_options
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
    columns: Columns,
) -> None:
    """Compare several teachers by cross-validation.

    Every teacher is trained in the same folds with the same seeds and compared with the first one, with paired
    bootstrap intervals. Only the metrics are kept.

    \b
    Example:
      distill compare-teachers --data memes/ --out runs/fusion --try concat \\
          --try text="teacher.head.modalities=text" --try cross="teacher.head.fusion=transformer"
    """
    from dataclasses import asdict

    from distill.core.recipe import Recipe

    pairs = [words.partition("=")[::2] for words in tries]
    recipes = {name: Recipe.load(recipe, (*overrides, *shlex.split(words))) for name, words in pairs}
    configs, shared = {name: each.teacher for name, each in recipes.items()}, Recipe.load(recipe, overrides)
    if other := [name for name, each in recipes.items() if each.labels != shared.labels]:
        raise click.UsageError(f"--try {other[0]}: [labels] is the same for all teachers; set it with --set")
    if len(configs) < len(pairs) or not all(TRY.fullmatch(name) for name in configs):
        raise click.UsageError(
            "--try: give each teacher a name of its own that can be a folder's: letters, digits, blanks, _, + and -"
        )
    from distill.api import read_dataset
    from distill.core.files import refuse_overwriting

    refuse_overwriting(out, data)
    splits = read_dataset(data, columns=columns.over(shared.data.columns), **vars(shared.labels))
    from distill.core.terminal import note, output
    from distill.data.run_folder import COMPARISON
    from distill.model.distributed import check_batch_size
    from distill.training.run_writer import RunStart, claim_run
    from distill.training.trainer import CheckpointFolder
    from teacher.compare import compare_recipes, comparison_table

    for config in configs.values():
        check_batch_size(config.batch_size)
    asked = {"tries": {name: asdict(config) for name, config in configs.items()}, "folds": folds, "seeds": seeds}
    start = RunStart("teacher", next(iter(configs.values())), splits, asked)
    with claim_run(out, start, resume, overwrite):
        comparison = compare_recipes(configs, splits, folds, seeds, CheckpointFolder(out, resume))
    output.print(comparison_table(comparison))
    note(f"Written: {out / COMPARISON}")
