"""`distill evaluate`: F1 of a run or a Bundle on a split."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import BUNDLE, column_options, data_option, opening_options
from distill.core.columns import Columns
from distill.core.runtimes import Provider, Runtime


@click.command()
@click.argument("folder", metavar="RUN_OR_BUNDLE", type=BUNDLE)
@data_option
@click.option(
    "--split", default="dev", show_default=True, type=click.Choice(["train", "dev", "test"]), help="Split to use."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the metrics as JSON.")
@opening_options
@column_options
def evaluate(
    folder: Path,
    data: Path,
    split: str,
    out: Path | None,
    provider: Provider,
    runtime: Runtime | None,
    columns: Columns,
) -> None:
    """Measure F1 of a run or a Bundle on a split.

    Prints micro- and macro-F1 with bootstrap intervals, each label, and the constant predictor for comparison.

    \b
    Example:
      distill evaluate runs/bundle --data memes/ --split test
    """
    from distill import api

    api.evaluate(folder, data, split=split, out=out, columns=columns, provider=provider, runtime=runtime)
