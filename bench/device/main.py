"""What a packed benchmark does when Python runs it."""

from __future__ import annotations

import compileall
import os
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import click

PAYLOAD, EVAL_SET_FOLDER, BUNDLES = "payload", "eval_set", "bundles"
NEEDED = {"onnxruntime": "onnxruntime", "numpy": "numpy", "PIL": "pillow", "tokenizers": "tokenizers"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--threads", help="Numbers of threads, such as 1,4.  [default: what the system grants]")
@click.option("--batch", "batches", default="1", show_default=True, help="Batch sizes, such as 1,8.")
@click.option("--calls", default=400, show_default=True, type=click.IntRange(1), help="Timed calls of a variant.")
@click.option("--starts", default=3, show_default=True, type=click.IntRange(1), help="Cold starts of a variant.")
@click.option("--name", help="What to call this device.  [default: its processor]")
@click.option("--out", default="bench.json", show_default=True, type=click.Path(path_type=Path))
def measure(threads: str | None, batches: str, calls: int, starts: int, name: str | None, out: Path) -> None:
    """Measure the Bundles in this file on this device, and write a JSON report for `distill bench page`.

    \b
    Example:
      python3 bench.pyz --name "Raspberry Pi 5" --out pi5.json
    """
    from bench.measure.interleave import Plan, numbers
    from bench.quality.eval_set import EvalSet
    from bench.report.tables import show
    from bench.run import run, write
    from bench.runtimes.variants import select_variants
    from distill.core.machine.cores import default_threads
    from distill.core.output.terminal import note

    plan = Plan(numbers(threads or str(default_threads())), numbers(batches), calls, starts, name)
    with tempfile.TemporaryDirectory(prefix="distill-bench-") as folder:
        _unpack(Path(folder))
        payload = Path(folder) / PAYLOAD
        bundles = sorted((payload / BUNDLES).iterdir(), key=lambda path: int(path.stem))
        report = run(select_variants(bundles[-1], bundles[:-1]), EvalSet.load(payload / EVAL_SET_FOLDER), plan)
    written = write(report, out)
    show(report)
    note(f"Written: {', '.join(str(path) for path in written)}")


def _unpack(folder: Path) -> None:
    """Lay everything out in `folder` and let the variants' processes find the code there, compiled as an installed
    package is: out of the zip each start would compile it anew, which cold starts would count."""
    with zipfile.ZipFile(sys.argv[0]) as archive:
        archive.extractall(folder)
    compileall.compile_dir(folder, quiet=2)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def main() -> None:
    """Run, or name in one line what is missing or wrong."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        sys.exit(f"error: this device lacks {', '.join(missing)}; pip install {' '.join(NEEDED.values())}")
    from distill.core.errors import DistillError
    from distill.core.output.streams import printable_streams

    try:
        with printable_streams():
            measure(prog_name=Path(sys.argv[0]).name)
    except DistillError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
