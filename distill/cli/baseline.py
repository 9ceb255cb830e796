"""`distill baseline`: what frozen encoders and logistic regression give."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import column_options, training_options, unlabelled_to_folds_option
from distill.cli.results import print_json_file, same_settings
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@training_options("teacher.seed")
@click.option(
    "--use",
    metavar="NAME",
    help='Baseline that becomes the run: "n-grams", text, image, "text + image", "text + image + n-grams", or '
    'with "static" in place of "text".  [default: the best]',
)
@unlabelled_to_folds_option
@column_options
@recorded
def baseline(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    use: str | None,
    report_to: tuple[str, ...],
    unlabelled: Path | None,
    columns: Columns,
) -> None:
    """Measure what needs no training.

    Fits logistic regressions on the TF-IDF of n-grams and on the features of the teacher's frozen encoders, and
    compares them by cross-validation; with distill[static] installed, on static vectors of the encoder's tokens
    too. The best one becomes a run, which can be exported, taught from and compared with like a teacher's.

    \b
    Example:
      distill baseline --data memes/ --out runs/baseline
    """
    from distill import api
    from distill.core.output.terminal import note, output
    from distill.data.run_folder import BASELINES
    from teacher.baseline import Baselines, baseline_table

    api.fit_baselines(
        data,
        out,
        use=use,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
        columns=columns,
        report_to=report_to,
        unlabelled=unlabelled,
    )
    output.print(baseline_table(Baselines.read(out)))
    print_json_file(out / BASELINES)
    rest = same_settings(recipe, overrides, "export")
    note(f"Baseline in {out}. Next: distill export {out} --data {data} --out runs/baseline-bundle{rest}")
