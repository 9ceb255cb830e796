"""`distill tune`: search for a teacher's recipe."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from distill.cli.options import SEED, column_options, training_options
from distill.core.columns import Columns
from distill.core.extras import can_plot, install_command, require


@click.command()
@training_options
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Number of trials in total; raise it with --resume.",
)
@click.option(
    "--folds", default=3, show_default=True, type=click.IntRange(2), help="Number of cross-validation folds."
)
@click.option("--seed", default=13, show_default=True, type=SEED, help="Seed of the search.")
@column_options
def tune(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    trials: int,
    folds: int,
    seed: int,
    columns: Columns,
) -> None:
    """Search for a teacher's best hyperparameters.

    Optuna searches the learning rate, batch size and loss; each trial is scored by its F1 out of fold on the
    training split, and stopped early when it falls behind. Writes best.toml, a recipe, and study.json with every
    trial.

    \b
    Example:
      distill tune --data memes/ --out runs/tune --trials 20
      distill train-teacher --data memes/ --out runs/teacher --recipe runs/tune/best.toml
    """
    from distill.core.errors import RecipeError
    from distill.core.files import refuse_overwriting
    from distill.core.recipe import Recipe

    require("optuna", "distill tune")
    start = Recipe.load(recipe, overrides)
    from distill.api import read_dataset

    refuse_overwriting(out, data)
    splits = read_dataset(data, columns=columns.over(start.data.columns), **vars(start.labels))
    if splits.labels.groups:
        raise RecipeError(
            "distill tune searches losses of labels that are decided apart, and exactly one is of the group "
            f"{splits.labels.groups[0]}; compare settings with distill compare-teachers"
        )
    from distill.core.terminal import note, output
    from distill.training.run_writer import RunStart, claim_run
    from teacher.tune.cross_validation import CrossValidation
    from teacher.tune.report import compare_command, evaluate_best, search_table, summary_lines, write_study
    from teacher.tune.search import SearchConfig, is_in_space, run_search, search_space, values_line, values_of

    config = SearchConfig(start, trials, folds, seed)
    base, examples = config.base, len(splits.train)
    depends_on = {"tune": {"space": search_space(base), "folds": folds, "seed": seed}}
    with claim_run(out, RunStart("teacher", base, splits, depends_on), resume, overwrite):
        if not is_in_space(base):
            line = values_line(values_of(base))
            note(f"the recipe's own values are outside of what is searched, so it is no trial of its own: {line}")
        cross_validation = CrossValidation(base, splits, folds, out / "trials")
        finished = run_search(
            config, cross_validation.scores, out, lambda done: write_study(out, config, examples, done)
        )
        best = evaluate_best(cross_validation, base, finished)
        write_study(out, config, examples, finished, best)
        say_written = _write_plots(finished, base.threshold_objective, out)
    output.print(search_table(finished, config, examples))
    say_written()
    options = [*(["--recipe", str(recipe)] if recipe else []), *(w for o in overrides for w in ("--set", o))]
    command = compare_command(base, best.trial, data, Path(f"{out}-judged"), options)
    for line in (*summary_lines(best, base, len(finished)), f"Next: {shlex.join(command)}"):
        note(line)


def _write_plots(trials: list[Any], objective: str, out: Path) -> Callable[[], None]:
    """Write the plots; what says so, or what they need."""
    from distill.core.terminal import note, warn

    if not can_plot():
        return partial(warn, f"no plots without matplotlib; {install_command('plots')}, then resume with --resume")
    from teacher.tune.plots import HISTORY, PARAMETERS, write_search_plots

    write_search_plots(trials, objective, out)
    return partial(note, f"Written to {out}: best.toml, study.json, {HISTORY}, {PARAMETERS}")
