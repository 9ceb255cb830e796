"""`distill bench` and what belongs to it. Imports what is slow inside the commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.exits import exits
from distill.cli.groups import WithDefault
from distill.cli.options import (
    BUNDLE,
    column_options,
    data_option,
    json_option,
    out_file,
    report_to_option,
    split_option,
)
from distill.cli.results import print_json, print_json_file
from distill.core.machine.runtimes import PROVIDERS, Provider, Runtime
from distill.core.settings.columns import Columns

if TYPE_CHECKING:
    from bench.peers.make import Peer
    from bench.quality.eval_set import EvalSet
    from bench.report.types import BenchReport

PEERS = ("openvino", "openvino-int8", "optimum-int8", "torch-int8", "torch-compile")

fail_option = click.option(
    "--fail-on", metavar="RULES", help='Exit with 1 if a rule is broken, e.g. "f1<-0.01,p50>+10%".'
)


@click.group(cls=WithDefault)
def bench() -> None:
    """Benchmark F1, latency, cold start and memory.

    \b
    distill bench BUNDLE --data DATA            short for: distill bench run BUNDLE --data DATA
    distill bench run --help                    all options

    \b
    Example:
      distill bench runs/bundle --data memes/ --against runs/teacher --against runs/student
    """


def _report_of(bundle: Path, **_: Any) -> Path:
    """Where the report about a Bundle goes by default."""
    from distill.runtime.hub import default_output

    return default_output(bundle, "-bench.json")


@bench.command()
@exits({1: "a rule of --fail-on is broken"})
@click.argument("bundle", type=BUNDLE)
@data_option
@click.option(
    "--against",
    multiple=True,
    type=BUNDLE,
    metavar="RUN_OR_BUNDLE",
    help="Run or Bundle to compare with. Repeatable.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice(PEERS),
    help="Another toolkit to run the same model with. Repeatable.",
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    type=click.Choice(PROVIDERS[1:]),
    help="Execution provider of onnxruntime to run BUNDLE with too. Repeatable.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    type=click.Choice(["openvino"]),
    help="Runtime to run BUNDLE in too. Repeatable.",
)
@split_option
@click.option(
    "--originals",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Images of the same names to measure with in place of the split's, e.g. before they were shrunk.",
)
@click.option("--threads", metavar="N,N,...", help="Numbers of threads, e.g. 1,4.  [default: CPUs available]")
@click.option(
    "--batch", "batches", default="1", show_default=True, metavar="N,N,...", help="Batch sizes, e.g. 1,8."
)
@click.option("--calls", default=400, show_default=True, type=click.IntRange(1), help="Timed calls per variant.")
@click.option("--starts", default=3, show_default=True, type=click.IntRange(1), help="Cold starts per variant.")
@click.option("--name", help="Name of this device.  [default: its processor]")
@out_file("JSON report to write.  [default: BUNDLE-bench.json]", beside=(".md", ".html"), otherwise=_report_of)
@click.option("--compare", type=click.Path(path_type=Path), metavar="FILE", help="Older report to compare with.")
@baseline_options
@fail_option
@json_option
@report_to_option
@column_options
def run(
    bundle: Path,
    data: Path,
    against: tuple[Path, ...],
    peers: tuple[Peer, ...],
    providers: tuple[Provider, ...],
    runtimes: tuple[Runtime, ...],
    split: str | None,
    originals: Path | None,
    threads: str | None,
    batches: str,
    calls: int,
    starts: int,
    name: str | None,
    out: Path,
    compare: Path | None,
    fail_on: str | None,
    report_to: tuple[str, ...],
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Benchmark a Bundle beside other runs, Bundles and toolkits.

    Each variant runs in a process of its own and their calls are interleaved, so that noise affects all alike. If
    BUNDLE-fp32 exists, it is included, and so is the baseline. At last each runtime answers many posts at once, its
    threads used in its own best way. Writes the report as JSON, Markdown and an HTML page with plots.

    \b
    Examples:
      distill bench runs/bundle --data memes/ --against runs/teacher --against runs/student
      distill bench runs/bundle --data memes/ --peer openvino --peer optimum-int8 --threads 1,2 --batch 1,8
      distill bench runs/bundle --data memes/ --runtime openvino --against runs/bundle-openvino
      distill bench runs/bundle --data memes/ --compare old.json --fail-on "f1<-0.01,p50>+10%"
    """
    from bench.measure.interleave import Plan, numbers
    from bench.peers.make import require_packages
    from bench.peers.run import run_with_peers
    from bench.report.tables import show
    from bench.report.types import read
    from bench.rules import parse
    from bench.run import track, write
    from bench.runtimes.open_model import other_openings
    from distill.core.machine.cores import default_threads
    from distill.core.output.terminal import note
    from distill.core.tracking import choose_trackers
    from distill.runtime.baseline import find_baseline

    rules = parse(fail_on) if fail_on else ()  # and the old report: mistakes in them are found before the long work
    if rules and compare is None:
        raise click.UsageError("--fail-on compares with an older report; give it with --compare OLD.json")
    old = read(compare) if compare else None
    plan = Plan(numbers(threads or str(default_threads())), numbers(batches), calls, starts, name, margin=margin)
    require_packages(peers)
    trackers = choose_trackers(report_to)
    openings = other_openings(bundle, providers, runtimes)
    splits, eval_set = _eval_set(data, bundle, split, columns, against)
    if originals is not None:
        eval_set = eval_set.with_images(originals)
    plan = replace(plan, baseline=find_baseline(baseline, bundle, splits))
    report = run_with_peers(bundle, against, peers, splits.train, eval_set, plan, openings)
    written = write(report, out)
    track(report, written, trackers)
    show(report)
    if old is None:
        print_json_file(out)
    note(f"Written: {', '.join(str(path) for path in written)}")
    if old is not None:
        _compare(report, old, fail_on)


@bench.command()
@exits({1: "a rule of --fail-on is broken"})
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("old", type=click.Path(path_type=Path))
@fail_option
@json_option
def compare(new: Path, old: Path, fail_on: str | None) -> None:
    """Compare two reports, with intervals.

    Each rule of --fail-on describes a failure: a metric such as f1, p50, peak, disk or flips (a wrong name lists
    them all), < or >, and a change in the metric's unit or in per cent.

    \b
    Example:
      distill bench compare new.json old.json --fail-on "f1<-0.01,p50>+10%"
    """
    from bench.report.types import read

    _compare(read(new), read(old), fail_on)


@bench.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_file("HTML file to write.", required=True)
def page(reports: tuple[Path, ...], out: Path) -> None:
    """Write an HTML page of one or several reports.

    Reports of several devices share one page, which needs no network.

    \b
    Example:
      distill bench page desk.json pi5.json --out devices.html
    """
    from bench.report import page as pages
    from bench.report.types import read
    from distill.core.output.terminal import note

    pages.write([read(report) for report in reports], out)
    note(f"Written: {out}")


@bench.command()
@click.argument("bundle", type=BUNDLE)
@data_option
@click.option("--against", multiple=True, type=BUNDLE, metavar="BUNDLE", help="Bundle to compare with. Repeatable.")
@click.option("--alone", is_flag=True, help="Leave out the fp32 Bundle; the file is then several times smaller.")
@split_option
@out_file("File to write, e.g. bench.pyz.", required=True)
@column_options
def pack(
    bundle: Path, data: Path, against: tuple[Path, ...], alone: bool, split: str | None, out: Path, columns: Columns
) -> None:
    """Pack the benchmark into one file for a device.

    The device needs Python, onnxruntime, numpy, pillow and tokenizers. The file contains images, texts and labels
    of the split: share it only with people who may see them.

    \b
    Example:
      distill bench pack runs/bundle --data memes/ --out bench.pyz
      python3 bench.pyz --name "Raspberry Pi 5" --out pi5.json      # there
    """
    from bench.device import pack as packing
    from bench.runtimes.variants import select_variants
    from distill.core.output.terminal import note

    _, eval_set = _eval_set(data, bundle, split, columns, against)
    packing.pack(select_variants(bundle, against, with_parent=not alone), eval_set, out)
    note(f"Written: {out}, {out.stat().st_size / 1e6:.0f} MB; on the device: python3 {out.name} --out device.json")


def _eval_set(
    data: Path, bundle: Path, split: str | None, columns: Columns, against: tuple[Path, ...]
) -> tuple[Any, EvalSet]:
    from bench.quality.eval_set import EvalSet
    from distill.api import read_dataset
    from distill.core.output.terminal import warn
    from distill.data.dataset import read_splits
    from distill.runtime.bundle import columns_of, labels_of
    from distill.runtime.hub_dataset import resolve_dataset

    splits = read_dataset(data, bundle, columns)
    eval_set = EvalSet.from_splits(splits, split)
    for folder in against:
        if not folder.is_dir() or (remembered := columns_of(folder)) == columns_of(bundle):
            continue
        theirs = read_splits(resolve_dataset(str(data)), labels_of(bundle), columns, remembered)
        eval_set = eval_set.with_own(folder, theirs.with_known_labels())
        if folder in eval_set.own:
            warn(
                f"{folder}: its quality is measured on its own columns of {data}, which are others than those of "
                f"{bundle}; times are of the same examples for all"
            )
    return splits, eval_set


def _compare(new: BenchReport, old: BenchReport, fail_on: str | None) -> None:
    from bench import compare as comparing
    from bench.rules import parse
    from distill.core.output.terminal import note

    comparison = comparing.compare(new, old, parse(fail_on) if fail_on else ())
    comparing.show(comparison)
    print_json(comparison.to_json())
    for sentence in comparing.sentences(comparison):
        note(sentence)
    if comparison.broken:
        click.get_current_context().exit(1)
