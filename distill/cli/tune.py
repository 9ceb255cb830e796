"""`distill tune`: search for a teacher's recipe."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from distill.cli.options import SEED, column_options, dry_run_option, training_options
from distill.cli.results import print_json_file, same_settings
from distill.core.extras import can_plot, install_command, require
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@training_options()
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
@dry_run_option
@column_options
@recorded
def tune(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
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
    from distill.core.settings.recipe import Recipe
    from distill.core.storage.files import refuse_overwriting, write_text

    require("optuna", "distill tune")
    start = Recipe.load(recipe, overrides, ["teacher"], varied=True)
    from distill.api import read_by_recipe
    from distill.core.tracking import choose_trackers

    if start.teacher.epochs == 0:
        raise RecipeError(
            "distill tune searches how to train, and teacher.epochs=0 fits a head once; set teacher.epochs above 0"
        )
    trackers = choose_trackers(report_to, start.tracking.report_to)
    refuse_overwriting(out, data)
    splits = read_by_recipe(data, start, columns)
    if splits.labels.groups:
        raise RecipeError(
            "distill tune searches losses of labels that are decided apart, and exactly one is of the group "
            f"{splits.labels.groups[0]}; compare settings with distill compare-teachers"
        )
    if dry_run:
        from distill.cli.dry_run import show_plan, teacher_plan

        return show_plan(teacher_plan(start.teacher, splits, out, trials * (folds - 1), f"{trials} trials"))
    from distill.core.output.terminal import note, output, to_text
    from distill.data.run_folder import BEST, STUDY
    from distill.training.following import follow
    from distill.training.run_writer import RunStart, claim_run
    from teacher.tune.cross_validation import CrossValidation
    from teacher.tune.report import TABLE, compare_command, evaluate_best, search_table, summary_lines, write_study
    from teacher.tune.search import (
        SearchConfig,
        Trial,
        figures_of,
        is_in_space,
        run_search,
        search_space,
        values_line,
        values_of,
    )

    config = SearchConfig(start, trials, folds, seed)
    base, examples = config.base, len(splits.train)
    depends_on = {"tune": {"space": search_space(base), "folds": folds, "seed": seed}}
    begun = RunStart("teacher", base, splits, depends_on)
    with claim_run(out, begun, resume, overwrite), follow(out, begun, resume, trackers) as run:
        tracking = run.followers.tracking
        if not is_in_space(base):
            line = values_line(values_of(base))
            note(f"the recipe's own values are outside of what is searched, so it is no trial of its own: {line}")
        cross_validation = CrossValidation(base, splits, folds, out / "trials")

        def keep(done: list[Trial]) -> None:
            write_study(out, config, examples, done)
            tracking.log(figures_of(done[-1]), done[-1].number, "trials")

        finished = run_search(config, cross_validation.scores, out, keep)
        best = evaluate_best(cross_validation, base, finished)
        write_study(out, config, examples, finished, best)
        written, say_written = _write_plots(finished, base.threshold_objective, out)
        table = search_table(finished, config, examples)
        write_text(out / TABLE, to_text(table))
        tracking.log_files([out / name for name in (STUDY, BEST, TABLE, *written)])
        output.print(table)
        print_json_file(out / STUDY)
    say_written()
    options = shlex.split(same_settings(recipe, overrides, "teacher"))
    command = compare_command(base, best.trial, data, Path(f"{out}-judged"), options)
    for line in (*summary_lines(best, base, len(finished)), f"Next: {shlex.join(command)}"):
        note(line)
    return None


def _write_plots(trials: list[Any], objective: str, out: Path) -> tuple[list[str], Callable[[], None]]:
    """Write the plots; their names, and what says so, or what they need."""
    from distill.core.output.terminal import note, warn

    if not can_plot():
        return [], partial(
            warn, f"no plots without matplotlib; {install_command('plots')}, then resume with --resume"
        )
    from teacher.tune.plots import HISTORY, PARAMETERS, write_search_plots

    write_search_plots(trials, objective, out)
    return [HISTORY, PARAMETERS], partial(note, f"Written to {out}: best.toml, study.json, {HISTORY}, {PARAMETERS}")
