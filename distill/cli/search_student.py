"""`distill search-student`: the cheapest student that is not worse."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from distill.cli.exits import exits
from distill.cli.options import (
    THREADS,
    column_options,
    dry_run_option,
    teacher_options,
    training_options,
    unlabelled_option,
)
from distill.cli.results import print_json_file
from distill.core.errors import ExitCode
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import MARGIN

ABOVE_0 = click.FloatRange(0, min_open=True)


@click.command()
@exits({1: "nothing is recommended: every student that was trained is over a limit"})
@teacher_options
@click.option(
    "--ladder",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file of candidates: a table for each family of them, in which a list stands for each of its values "
    "(docs/search.md).  [default: the recipe's student with fewer layers, smaller images, a smaller vocabulary and "
    "static vectors]",
)
@click.option(
    "--try",
    "tries",
    multiple=True,
    metavar='NAME["=KEY=VALUE KEY=VALUE ..."]',
    help='A family of candidates and the settings that it changes, such as three="student.text.layers=[3,2]". '
    "Repeatable.",
)
@click.option("--max-ms", type=ABOVE_0, help="Most milliseconds that a post may take on this machine.")
@click.option("--max-mb", type=ABOVE_0, help="Most megabytes that the Bundle may have.")
@click.option(
    "--max-f1-drop",
    default=MARGIN,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="F1 that may be lost against the best student.",
)
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads that times are measured with.")
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Processes that train candidates beside each other, and share the cores.",
)
@unlabelled_option
@training_options("student.seed")
@dry_run_option
@column_options
@recorded
def search_student(
    data: Path,
    teachers: tuple[Path, ...],
    teacher_answers: Path | None,
    answers_are: Any,
    ladder: Path | None,
    tries: tuple[str, ...],
    max_ms: float | None,
    max_mb: float | None,
    max_f1_drop: float,
    threads: int,
    jobs: int,
    unlabelled: Path | None,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
    columns: Columns,
) -> None:
    """Search for the smallest student that is not worse.

    Measures what each candidate costs before any training, trains those within the limits in more and more of the
    teacher's folds, and keeps the better half in each round and whatever is cheaper than what beats it. The
    finalists are trained on everything, exported and measured in one run. Recommended is the quickest whose F1 is
    shown not to be below that of the best by more than --max-f1-drop.

    \b
    Examples:
      distill search-student --data memes/ --teacher runs/teacher --out runs/search --max-ms 8 --max-mb 40
      distill search-student --data memes/ --teacher runs/teacher --out runs/search --jobs 2 \\
          --try bert="student.text.layers=[6,3,1] student.image.size=[224,128]"
    """
    from student.search.ladder import parse_family

    pairs = [words.partition("=")[::2] for words in tries]
    try:
        families = {name: parse_family(shlex.split(words)) for name, words in pairs}
    except ValueError as error:  # an open quote
        raise click.UsageError(f"--try: {error}") from error
    if len(families) < len(pairs):
        raise click.UsageError("--try: give each family of candidates a name of its own")
    if dry_run:
        from distill.cli.dry_run import plan_search, show_plan
        from distill.data.teacher_sources import TeacherSources

        sources = TeacherSources.of(teachers or None, teacher_answers, answers_are)
        return show_plan(plan_search(data, out, recipe, overrides, columns, sources, ladder, families, unlabelled))
    from distill import api
    from distill.core.output.terminal import note, output
    from distill.data.run_folder import SEARCH

    report = api.search_student(
        data,
        out,
        teacher=teachers or None,
        teacher_answers=teacher_answers,
        answers_are=answers_are,
        ladder=ladder,
        tries=families,
        max_ms=max_ms,
        max_mb=max_mb,
        max_f1_drop=max_f1_drop,
        threads=threads,
        jobs=jobs,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
        columns=columns,
        report_to=report_to,
        unlabelled=unlabelled,
    )
    from bench.search import tables
    from bench.search.run import export_words

    for table in tables.candidates(report).to_rich(output.width):
        output.print(table)
    print_json_file(out / SEARCH)
    for line in tables.sentences(report):
        note(line)
    note(f"Written to {out}: what was tried, the runs in candidates and the Bundles in bundles")
    if report.chosen is None:
        click.get_current_context().exit(ExitCode.FAILED)
    return note(f"Next: {shlex.join(export_words(report, data, out))}")
