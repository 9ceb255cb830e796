"""`distill verify`: does a Bundle answer here as it did where it was made?"""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    BUNDLE,
    THREADS,
)


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.option("--threads", default=0, show_default="all cores", type=THREADS)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to this JSON file.")
def verify(bundle: Path, threads: int, out: Path | None) -> None:
    """Ask a Bundle on this machine what it was asked where it was made, and compare the answers.

    Exits with 1 when texts become other tokens, or when a logit moved by more than quantising itself moved it.

    \b
    Example:
      distill verify runs/bundle
    """
    from distill.runtime import golden
    from distill.runtime.predictor import Predictor

    report = golden.replay(Predictor.load(bundle, threads))
    if out is not None:
        from dataclasses import asdict

        from distill.core.files import write_json

        write_json(out, asdict(report) | {"passed": report.passed, "bundle": bundle.name})
    golden.print_report(report, str(bundle))
    if not report.passed:
        click.get_current_context().exit(1)
