"""The command that trains an earlier teacher on: thin, as in cli.py."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import retraining_options

KEPT = 3  # exit code; 1 would be a crash, too


@click.command()
@click.argument("run", metavar="TEACHER", type=click.Path(path_type=Path))
@retraining_options
@click.option(
    "--test",
    required=True,
    type=click.Path(path_type=Path),
    help="The fixed test set, the same each time: a labelled file, or a folder's test split.",
)
@click.option(
    "--with",
    "earlier",
    type=click.Path(path_type=Path),
    help="Earlier data: its train split is learned from too, so that it is not forgotten.",
)
@click.option(
    "--max-f1-drop",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="F1 that the new run may lose at the most, by its interval's lower end.",
)
@click.option(
    "--current",
    type=click.Path(path_type=Path),
    help="A symbolic link that is switched to OUT when it is promoted.",
)
def retrain(
    run: Path,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    test: Path,
    earlier: Path | None,
    max_f1_drop: float,
    current: Path | None,
) -> None:
    """Train an earlier teacher on with new data, and promote the new one only if it is not worse.

    Starts from the weights of TEACHER with its recipe and labels, compares both on the same fixed test set, and
    says PROMOTED (exit code 0) or KEPT OLD (exit code 3), and why. Also reports how the new examples differ from
    the test set and the earlier data. OUT holds the new run either way, with retrain.json, retrain.md and a plot.

    \b
    Example:
      distill retrain runs/current --data november/ --with memes/ --test fixed/test.json \\
          --out runs/teacher-november --current runs/current
    """
    from teacher.retrain import link

    run = link.existing(run)  # a link to it may be switched below
    link.check(current, run, out, overwrite)
    from distill.core.terminal import note
    from teacher.retrain import report
    from teacher.retrain import run as retraining

    order = retraining.Order(run, data, test, earlier, out, overrides, max_f1_drop, resume, overwrite)
    promotion = retraining.retrain(order)
    note(f"Written to {out}: {report.FIGURES}, {report.PAGE}")
    note(promotion.sentence())
    if promotion.word == "KEPT OLD":
        click.get_current_context().exit(KEPT)
    if current is not None:
        link.switch(current, out)
        note(f"{current} points to {out} now")
    note(f"Next: distill train-student --data {data} --teacher {out} --out runs/student")
