"""The command that searches for a recipe: thin, as in cli.py."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from distill.cli.options import training_options
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
@click.option("--seed", default=13, show_default=True, type=click.IntRange(0), help="Seed of the search.")
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
    from distill.core.recipe import Recipe

    require("optuna", "distill tune")
    whole = Recipe.load(recipe, overrides)
    from distill.api import read_dataset

    splits = read_dataset(data)
    from distill.core.terminal import note, output
    from distill.training.run import RunStart, begin
    from teacher.tune import report
    from teacher.tune import search as tuning
    from teacher.tune.judge import FoldJudge

    terms = report.Terms(whole, folds, seed, len(splits.train))
    asked = {"tune": {"space": tuning.space(whole.teacher), "folds": folds, "seed": seed}}
    begin(out, RunStart("teacher", whole.teacher, splits, asked), resume, overwrite)
    if not tuning.is_in_space(whole.teacher):
        own = tuning.words(tuning.values_of(whole.teacher))
        note(f"the recipe's own values are outside of what is searched, so it is no trial of its own: {own}")
    judge = FoldJudge(whole.teacher, splits, folds, out / "trials")
    budget = tuning.Budget(trials, folds, seed)
    found = tuning.search(whole.teacher, judge, out, budget, lambda tried: report.record(out, terms, tried))
    verdict = report.judge_best(judge, whole.teacher, found)
    report.record(out, terms, found, verdict)
    output.print(report.to_table(found, terms))
    _draw(found, whole.teacher.threshold_objective, out)
    given = [*(["--recipe", str(recipe)] if recipe else []), *(w for o in overrides for w in ("--set", o))]
    words = report.comparison(terms, verdict.best, data, Path(f"{out}-judged"), given)
    for line in (*report.told(verdict, terms, len(found)), f"Next: {shlex.join(words)}"):
        note(line)


def _draw(found: list[Any], objective: str, out: Path) -> None:
    """The plots, or what they lack."""
    from distill.core.terminal import note, warn

    if not can_plot():
        return warn(f"no plots without matplotlib; {install_command('plots')}, then resume with --resume")
    from teacher.tune import plots as tune_plots

    tune_plots.write(found, objective, out)
    return note(f"Written to {out}: best.toml, study.json, {tune_plots.HISTORY}, {tune_plots.PARAMETERS}")
