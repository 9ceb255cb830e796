"""`distill evaluate`: F1 of a run or a Bundle on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.options import (
    BUNDLE,
    column_options,
    data_option,
    json_option,
    opening_options,
    out_file,
    split_option,
)
from distill.cli.results import print_json
from distill.core.machine.runtimes import Provider, Runtime
from distill.core.settings.columns import Columns


@click.command()
@click.argument("folder", metavar="RUN_OR_BUNDLE", type=BUNDLE)
@data_option
@split_option
@out_file("Also write the metrics as JSON.")
@baseline_options
@json_option
@opening_options
@column_options
def evaluate(
    folder: Path,
    data: Path,
    split: str | None,
    out: Path | None,
    provider: Provider,
    runtime: Runtime | None,
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Measure F1 of a run or a Bundle on a split.

    Prints micro- and macro-F1 with bootstrap intervals, each label, and for comparison the constant predictor and
    the baseline, if there is one, with a verdict.

    \b
    Example:
      distill evaluate runs/bundle --data memes/
    """
    from distill import api

    print_json(
        api.evaluate(
            folder,
            data,
            split=split,
            out=out,
            overwrite=True,
            columns=columns,
            provider=provider,
            runtime=runtime,
            baseline=baseline,
            margin=margin,
        )
    )
