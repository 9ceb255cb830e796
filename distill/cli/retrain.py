"""`distill retrain`: train a teacher further on new data."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.exits import exits
from distill.cli.options import column_options, training_options
from distill.cli.results import print_json_file
from distill.core.errors import ExitCode
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@exits({3: "KEPT OLD: the new run is worse on the fixed test set, or may be"})
@click.argument("run", metavar="TEACHER", type=click.Path(path_type=Path))
@training_options("teacher.seed", with_recipe=False)
@click.option(
    "--test",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Fixed test set, the same each time: a labelled file, or a folder with a test split.",
)
@click.option(
    "--with",
    "earlier",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Earlier data to train on as well, so that it is not forgotten.",
)
@click.option(
    "--max-f1-drop",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Largest acceptable loss: how far below 0 the interval of new minus old F1 may reach.",
)
@click.option(
    "--current",
    type=click.Path(path_type=Path),
    metavar="LINK",
    help="Symbolic link to switch to the new run when it is promoted.",
)
@column_options
@recorded
def retrain(
    run: Path,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    report_to: tuple[str, ...],
    test: Path,
    earlier: Path | None,
    max_f1_drop: float,
    current: Path | None,
    columns: Columns,
) -> None:
    """Train a teacher further on new data, and promote it if it is not worse.

    Starts from the weights, recipe and labels of TEACHER, compares the old and the new run on the same fixed test
    set, and reports PROMOTED (exit code 0) or KEPT OLD (exit code 3) with the reason, together with how the new
    examples differ from the earlier ones. The new run is written to --out in either case. runs/current below is a
    symbolic link to the run in use (ln -s teacher runs/current), which --current points to the new run.

    \b
    Example:
      distill retrain runs/current --data november/ --with memes/ --test fixed/test.json \\
          --out runs/teacher-november --current runs/current
    """
    from distill.core.storage.files import refuse_overwriting
    from teacher.retrain.link import check_link, resolve_run, switch_link

    refuse_overwriting(out, data, test, *([earlier] if earlier else []))
    run = resolve_run(run)  # a link to it may be switched below
    check_link(current, run, out, overwrite)
    from distill.core.output.terminal import note
    from distill.core.tracking import choose_trackers
    from teacher.retrain.report import FIGURES, PAGE
    from teacher.retrain.run import RetrainOptions, retrain_teacher

    options = RetrainOptions(
        run,
        data,
        test,
        earlier,
        out,
        overrides,
        max_f1_drop,
        resume,
        overwrite,
        columns,
        choose_trackers(report_to),
    )
    promotion = retrain_teacher(options)
    is_promoted = promotion.decision != "KEPT OLD"
    if is_promoted and current is not None:
        switch_link(current, out)
    print_json_file(out / FIGURES)
    note(f"Written to {out}: {FIGURES}, {PAGE}")
    note(promotion.sentence())
    if not is_promoted:
        click.get_current_context().exit(ExitCode.KEPT_OLD)
    if current is not None:
        note(f"{current} points to {out} now")
    note(f"Next: distill train-student --data {data} --teacher {out} --out runs/student")
