"""`distill verify`: does this machine reproduce a Bundle's reference outputs?"""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.exits import exits
from distill.cli.options import BUNDLE, THREADS, json_option, opening_options, out_file
from distill.cli.results import print_json
from distill.core.errors import ExitCode
from distill.core.machine.runtimes import Provider, Runtime


@click.command()
@exits({1: "this machine does not reproduce the Bundle"})
@click.argument("bundle", type=BUNDLE)
@click.option("--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of threads.")
@out_file("Also write the result as JSON.")
@json_option
@opening_options
def verify(bundle: Path, threads: int, out: Path | None, provider: Provider, runtime: Runtime | None) -> None:
    """Check that this machine reproduces a Bundle's reference outputs.

    Replays the inputs that were recorded at export. Exits with 1 if token ids differ, or if the logits differ by
    more than half of what quantisation itself changed (root mean square).

    \b
    Example:
      distill verify runs/bundle
    """
    from dataclasses import asdict

    from distill.core.storage.files import write_json
    from distill.runtime.golden import print_report, replay_golden
    from distill.runtime.opened import RunOptions
    from distill.runtime.predictor import Predictor

    report = replay_golden(Predictor.load(bundle, threads, RunOptions(provider=provider, runtime=runtime)))
    result = asdict(report) | {"passed": report.passed, "bundle": bundle.name}
    if out is not None:
        write_json(out, result)
    print_report(report, str(bundle))
    print_json(result)
    if not report.passed:
        click.get_current_context().exit(ExitCode.FAILED)
