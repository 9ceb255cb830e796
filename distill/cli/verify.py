"""`distill verify`: does this machine reproduce a Bundle's reference outputs?"""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    BUNDLE,
    THREADS,
    opening_options,
)
from distill.core.runtimes import Provider, Runtime


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.option("--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of threads.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the result as JSON.")
@opening_options
def verify(bundle: Path, threads: int, out: Path | None, provider: Provider, runtime: Runtime | None) -> None:
    """Check that this machine reproduces a Bundle's reference outputs.

    Replays the inputs that were recorded at export. Exits with 1 if token ids differ, or if the logits differ by
    more than half of what quantisation itself changed (root mean square).

    \b
    Example:
      distill verify runs/bundle
    """
    from distill.runtime.golden import print_report, replay_golden
    from distill.runtime.opened import RunOptions
    from distill.runtime.predictor import Predictor

    report = replay_golden(Predictor.load(bundle, threads, RunOptions(provider=provider, runtime=runtime)))
    if out is not None:
        from dataclasses import asdict

        from distill.core.files import write_json

        write_json(out, asdict(report) | {"passed": report.passed, "bundle": bundle.name})
    print_report(report, str(bundle))
    if not report.passed:
        click.get_current_context().exit(1)
