"""`distill compare-teachers`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.options import column_options, dry_run_option, training_options
from distill.cli.results import print_json_file
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns

UNREAD = {"teacher.folds": "--folds says how many"}
TRY = re.compile(r"\w[\w +-]*")  # no dot: names of files beside it have one


@click.command()
@training_options("teacher.seed")
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
@baseline_options
@dry_run_option
@column_options
@recorded
def compare_teachers(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
    tries: tuple[str, ...],
    folds: int,
    seeds: int,
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Compare several teachers by cross-validation.

    Every teacher is trained in the same folds with the same seeds and compared with the first one, with paired
    bootstrap intervals. Only the metrics are kept.

    \b
    Example:
      distill compare-teachers --data memes/ --out runs/fusion --try concat \\
          --try text="teacher.head.modalities=text" --try focal="teacher.focal.gamma=1"
    """
    from dataclasses import asdict

    from distill.core.settings.recipe import Recipe, asked_keys
    from distill.core.settings.unread import SHARED, find_unread, warn_of_unread

    pairs = [(name, shlex.split(words)) for name, _, words in (words.partition("=") for words in tries)]
    shared = Recipe.load(recipe, overrides, ["teacher"], varied=True, unread=UNREAD)
    recipes = {name: Recipe.load(recipe, (*overrides, *words), varied=True) for name, words in pairs}
    configs = {name: each.teacher for name, each in recipes.items()}
    for name, words in pairs:
        found = find_unread(asked_keys(words), ["teacher"], {"teacher": configs[name]}, UNREAD)
        warn_of_unread(found, f"--try {name}: ")
    for key in SHARED:
        if other := [name for name, each in recipes.items() if getattr(each, key) != getattr(shared, key)]:
            raise click.UsageError(f"--try {other[0]}: [{key}] is the same for all teachers; set it with --set")
    if len(configs) < len(pairs) or not all(TRY.fullmatch(name) for name in configs):
        raise click.UsageError(
            "--try: give each teacher a name of its own that can be a folder's: letters, digits, blanks, _, + and -"
        )
    names = list(configs)
    for name in names[1:]:
        if twin := next((each for each in names[: names.index(name)] if configs[each] == configs[name]), None):
            raise click.UsageError(f"--try: {twin} and {name} are the same teacher")
    from distill.api import baselines, read_by_recipe
    from distill.core.storage.files import refuse_overwriting, write_text
    from distill.core.tracking import choose_trackers

    trackers = choose_trackers(report_to, shared.tracking.report_to)
    refuse_overwriting(out, data)
    splits = read_by_recipe(data, shared, columns)
    from distill.core.output.terminal import note, output, to_text
    from distill.data.run_folder import COMPARISON
    from distill.model.distributed import check_batch_size, on_first_process
    from distill.scoring.answers import OUT_OF_FOLD
    from distill.scoring.baseline import Yardstick
    from distill.training.following import follow
    from distill.training.run_writer import RunStart, claim_run
    from teacher.compare import compare_recipes, comparison_sentences, comparison_table

    for config in configs.values():
        check_batch_size(config.batch_size)
    if dry_run:
        from distill.cli.dry_run import show_plan, teacher_plan

        return show_plan(*(teacher_plan(c, splits, out, seeds * (folds - 1), name) for name, c in configs.items()))
    asked = {"tries": {name: asdict(config) for name, config in configs.items()}, "folds": folds, "seeds": seeds}
    start = RunStart("teacher", next(iter(configs.values())), splits, asked)
    yardstick = Yardstick(margin, baselines(baseline, out, splits, [OUT_OF_FOLD], margin).get(OUT_OF_FOLD))
    with claim_run(out, start, resume, overwrite), follow(out, start, resume, trackers) as run:
        comparison = compare_recipes(configs, splits, folds, seeds, run, yardstick)
        table, file = comparison_table(comparison), out / Path(COMPARISON).with_suffix(".txt")
        sentences = comparison_sentences(comparison)
        on_first_process(write_text)(file, "\n".join([to_text(table).rstrip("\n"), "", *sentences, ""]))
        run.followers.tracking.log_files([out / COMPARISON, file])
        output.print(table)
        for sentence in sentences:
            note(sentence)
    print_json_file(out / COMPARISON)
    note(f"Written: {out / COMPARISON}")
    return None
