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
@click.option("--threads", default=0, show_default="all cores", type=THREADS, help="Number of threads.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the result as JSON.")
def verify(bundle: Path, threads: int, out: Path | None) -> None:
    """Check that a Bundle answers here as where it was exported.

    Replays the Bundle's golden answers on this machine. Exits with 1 if tokens differ, or if logits differ by more
    than quantisation itself changed them.

    \b
    Example:
      distill verify runs/bundle
    """
    from distill.runtime.golden import print_report, replay_golden
    from distill.runtime.predictor import Predictor

    report = replay_golden(Predictor.load(bundle, threads))
    if out is not None:
        from dataclasses import asdict

        from distill.core.files import write_json

        write_json(out, asdict(report) | {"passed": report.passed, "bundle": bundle.name})
    print_report(report, str(bundle))
    if not report.passed:
        click.get_current_context().exit(1)
