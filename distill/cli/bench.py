"""`distill bench` and what belongs to it. Imports what is slow inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill.cli.groups import WithDefault
from distill.cli.options import BUNDLE, data_option

if TYPE_CHECKING:
    from bench.peers.make import Peer
    from bench.quality.task import Task
    from bench.report.types import BenchReport

PEERS = ("openvino", "openvino-int8", "optimum-int8", "torch-int8", "torch-compile")

split_option = click.option(
    "--split",
    type=click.Choice(["train", "dev", "test"]),
    help="Default: test where its labels are known, else dev.",
)
fail_option = click.option(
    "--fail-on", metavar="RULES", help='Exit with 1 when one is broken, such as "f1<-0.01,p50>+10%".'
)


@click.group(cls=WithDefault)
def bench() -> None:
    """Which of these do I ship, and how sure are you? F1, latency, cold start and memory in one run.

    \b
    distill bench BUNDLE --data DIR             measure (the same as: distill bench run ...)
    distill bench run --help                    all options of measuring

    \b
    Example:
      distill bench runs/bundle --data memes/ --against runs/teacher --against runs/student
    """


@bench.command()
@click.argument("bundle", type=BUNDLE)
@data_option
@click.option("--against", multiple=True, type=BUNDLE, help="A run or Bundle to compare with.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice(PEERS),
    help="What another toolkit makes of the same model; may be given several times.",
)
@split_option
@click.option("--threads", help="Numbers of threads, such as 1,4.  [default: what the system grants]")
@click.option("--batch", "batches", default="1", show_default=True, help="Batch sizes, such as 1,8.")
@click.option("--calls", default=400, show_default=True, type=click.IntRange(1), help="Timed calls of a variant.")
@click.option("--starts", default=3, show_default=True, type=click.IntRange(1), help="Cold starts of a variant.")
@click.option("--name", help="What to call this device.  [default: its processor]")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file.  [default: BUNDLE-bench.json]")
@click.option("--compare", type=click.Path(path_type=Path), help="An older report of the same Bundle's like.")
@fail_option
def run(
    bundle: Path,
    data: Path,
    against: tuple[Path, ...],
    peers: tuple[Peer, ...],
    split: str | None,
    threads: str | None,
    batches: str,
    calls: int,
    starts: int,
    name: str | None,
    out: Path | None,
    compare: Path | None,
    fail_on: str | None,
) -> None:
    """Measure a Bundle and everything beside it; an int8 Bundle's fp32 parent joins by itself.

    Every variant runs in a fresh process, and their calls take turns, so that noise hits all alike. Writes JSON,
    the same as Markdown, and as a page with plots.

    \b
    Examples:
      distill bench runs/bundle --data memes/ --against runs/teacher --against runs/student
      distill bench runs/bundle --data memes/ --peer openvino --peer optimum-int8 --threads 1,2 --batch 1,8
      distill bench runs/bundle --data memes/ --compare old.json --fail-on "f1<-0.01,p50>+10%"
    """
    from bench.measure.interleave import Plan, numbers
    from bench.peers.run import measure_all
    from bench.report.tables import show
    from bench.report.types import read
    from bench.rules import parse
    from bench.run import write
    from distill.core.cores import default_threads
    from distill.core.terminal import note
    from distill.runtime.hub import default_output

    rules = parse(fail_on) if fail_on else ()  # and the old report: mistakes in them are found before the long work
    if rules and compare is None:
        raise click.UsageError("--fail-on compares with an older report; give it with --compare OLD.json")
    old = read(compare) if compare else None
    plan = Plan(numbers(threads or str(default_threads())), numbers(batches), calls, starts)
    splits, task = _task(data, bundle, split)
    made = measure_all(bundle, against, peers, splits.train, task, plan, name)
    show(made)
    written = write(made, out or default_output(bundle, "-bench.json"))
    note(f"Written: {', '.join(str(path) for path in written)}")
    if old is not None:
        _compare(made, old, fail_on)


@bench.command()
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("old", type=click.Path(path_type=Path))
@fail_option
def compare(new: Path, old: Path, fail_on: str | None) -> None:
    """What changed from an older report to a newer one, with intervals; for CI.

    Rules name a failure: a metric (f1, macro_f1, micro_ap, ece, p50, p90, p99, cold, peak, steady, disk, flips),
    < or >, and a change in its own unit or in per cent.

    \b
    Example:
      distill bench compare new.json old.json --fail-on "f1<-0.01,p50>+10%"
    """
    from bench.report.types import read

    _compare(read(new), read(old), fail_on)


@bench.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The HTML file.")
def page(reports: tuple[Path, ...], out: Path) -> None:
    """One page with plots of one or several reports, such as from several devices; it needs no network.

    \b
    Example:
      distill bench page desk.json pi5.json --out devices.html
    """
    from bench.report import page as pages
    from bench.report.types import read
    from distill.core.terminal import note

    pages.write([read(report) for report in reports], out)
    note(f"Written: {out}")


@bench.command()
@click.argument("bundle", type=BUNDLE)
@data_option
@click.option("--against", multiple=True, type=BUNDLE, help="A Bundle to compare with.")
@click.option("--alone", is_flag=True, help="Leave out the fp32 parent, which makes the file several times larger.")
@split_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file, such as bench.pyz.")
def pack(bundle: Path, data: Path, against: tuple[Path, ...], alone: bool, split: str | None, out: Path) -> None:
    """One file that measures the Bundle on a device with Python, onnxruntime, numpy, pillow and tokenizers.

    It holds the split's images, texts and labels: give it to nobody who may not see them.

    \b
    Example:
      distill bench pack runs/bundle --data memes/ --out bench.pyz
      python3 bench.pyz --name "Raspberry Pi 5" --out pi5.json      # there
    """
    from bench.device import pack as packing
    from bench.runtimes.variants import line_up
    from distill.core.terminal import note

    _, task = _task(data, bundle, split)
    packing.pack(line_up(bundle, against, with_parent=not alone), task, out)
    note(f"Written: {out}, {out.stat().st_size / 1e6:.0f} MB; on the device: python3 {out.name} --out device.json")


def _task(data: Path, bundle: Path, split: str | None) -> tuple[Any, Task]:
    from bench.quality.task import Task
    from distill.api import read_dataset

    splits = read_dataset(data, bundle)
    chosen = split or ("test" if any(example.labels for example in splits.test) else "dev")
    return splits, Task.of(splits, chosen)


def _compare(new: BenchReport, old: BenchReport, fail_on: str | None) -> None:
    from bench import compare as comparing
    from bench.rules import parse
    from distill.core.terminal import note, output

    comparison = comparing.compare(new, old, parse(fail_on) if fail_on else ())
    output.print(comparing.to_table(comparison))
    for sentence in comparing.sentences(comparison):
        note(sentence)
    if comparison.broken:
        click.get_current_context().exit(1)
