"""The files of docs/results: read, written with their conditions, and shown as Markdown.

Also what most measurements need: options, a clock and a `distill` process.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.measure import machine
from bench.measure.images import image_sizes
from bench.report.types import ImageSizes
from distill import __version__
from distill.core.errors import BenchError
from distill.core.storage.files import read_json, write_json
from distill.data.dataset import Example
from distill.scoring.estimate import Estimate

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PATH = click.Path(path_type=Path)
data_option = click.option("--data", required=True, type=PATH, metavar="DATA", help="Dataset to measure on.")
runs_option = click.option("--run", "folders", multiple=True, required=True, metavar="NAME=RUN", help="Repeatable.")
commit_option = click.option("--commit", required=True, help="Of the code that the runs were made with.")
bundle_option = click.option("--bundle", required=True, type=PATH, metavar="BUNDLE", help="Bundle to measure.")


@cache
def read(name: str) -> Any:
    """A committed result, by its path below docs/results without the suffix."""
    return read_json(RESULTS / f"{name}.json", BenchError)


def measured(name: str) -> dict[str, Any]:
    """What a committed result holds beside its conditions; nothing where none is committed yet."""
    if not (RESULTS / f"{name}.json").is_file():
        return {}
    return {key: tree for key, tree in read(name).items() if key != "conditions"}


def write(folder: Path, name: str, conditions: dict[str, Any], measured: dict[str, Any]) -> None:
    """Write a result, its conditions first."""
    write_json(folder / f"{name}.json", {"conditions": conditions, **measured})


def collect(
    folder: Path, name: str, runs: Iterable[str], commit: str, of_run: Callable[[Path], dict[str, Any]]
) -> None:
    """Write what `of_run` finds in the folders of runs, which are given as "NAME=RUN", by their names."""
    found = {run: of_run(path) for run, path in named(runs).items()}
    write(folder, name, conditions(runs_of_commit=commit), found)


def conditions(examples: Sequence[Example] = (), packages: Iterable[str] = (), **settings: Any) -> dict[str, Any]:
    """What figures depend on: the machine as it is now, versions, the commit, the sizes of the examples, and what
    the measurement itself sets (threads, rounds, seeds, ...). `packages` are named beside the benchmark's own."""
    return {
        **asdict(machine.describe()),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "distill": __version__,
        "git": machine.git_revision(ROOT),
        "packages": machine.packages() | {name: metadata.version(name) for name in packages},
        **(sizes(examples) if examples else {}),
        **settings,
    }


def processor(conditions: Mapping[str, Any]) -> str:
    """Its name, and whether it has AMX, whose times compare with no other's."""
    return f"{conditions['cpu']} with AMX" if "amx_int8" in conditions.get("flags", ()) else str(conditions["cpu"])


def sizes(examples: Sequence[Example]) -> dict[str, float]:
    """Medians over the examples, which say what a time is a time of; sides are the longest ones, in pixels."""
    images = image_sizes(examples) or ImageSizes(0, 0)
    return {
        "examples": len(examples),
        "image_side_median": images.side_px,
        "image_kb_median": images.kb,
        "text_characters_median": statistics.median(len(example.text) for example in examples),
    }


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    started = time.perf_counter()
    return function(*arguments), time.perf_counter() - started


def distill(*words: object, code: Path | None = None, cache: Path | None = None) -> subprocess.Popen[str]:
    """`distill WORDS` in a process of its own, with a pipe from its standard error; `code` is another checkout, and
    `cache` the folder of another cache."""
    command = [sys.executable, "-m", "distill.cli", *map(str, words)]
    changed = {"PYTHONPATH": code, "DISTILL_CACHE": cache}
    environment = os.environ | {name: str(path) for name, path in changed.items() if path is not None}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=code)


def named(pairs: Iterable[str]) -> dict[str, Path]:
    """The paths of "NAME=PATH", by name. Raises click.UsageError."""
    split = [pair.partition("=") for pair in pairs]
    if not all(name and path for name, _, path in split):
        raise click.UsageError(f"expected NAME=PATH, got {' '.join(pairs)}")
    return {name: Path(path) for name, _, path in split}


def table(headings: str, rows: Iterable[Iterable[str]], left: int = 1) -> str:
    """A table of Markdown. `headings` stand between bars, as in Markdown; the first `left` columns are words, the
    others figures, set to the right."""
    names = [name.strip() for name in headings.split("|")]
    lines = [_line(names), "|" + "---|" * left + "---:|" * (len(names) - left), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def notes(*lines: str) -> str:
    """A list under a table."""
    return "\n" + "".join(f"- {line}\n" for line in lines)


def figure(value: dict[str, float] | None, spec: str = ".3f") -> str:
    """A value of a result with its interval, or a dash where none was measured."""
    return "–" if value is None else format(Estimate(**value), spec)


def f1_cells(row: dict[str, Any]) -> tuple[str, str, str]:
    """Micro-F1 and macro-F1 with their intervals, and micro-AP, of a row of a run's "quality"."""
    return figure(row["micro_f1"]), figure(row["macro_f1"]), f"{row['micro_ap']:.3f}"
