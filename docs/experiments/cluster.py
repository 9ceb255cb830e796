"""One process against Ray's workers at the same rows: docs/cluster.md."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.output.terminal import note
from distill.data.dataset import Example, read_splits
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Predictor
from distill.runtime.ray.blocks import rows_per_block
from distill.runtime.ray.predict import predict_on_ray
from distill.runtime.ray.session import RayOptions
from experiments.results import bundle_option, conditions, data_option, notes, processor, read, table, timed, write

WAYS = (("process", 1), ("process", 2), ("ray", 1), ("ray", 2))  # threads of one process; workers of one thread


@click.command("ray")
@bundle_option
@data_option
@click.option("--rows", default=12_800, show_default=True, help="Number of rows, the dataset's again and again.")
@click.option("--rounds", default=5, show_default=True, help="Number of turns.")
@click.pass_obj
def measure(results: Path, bundle: Path, data: Path, rows: int, rounds: int) -> None:
    """Time one process and Ray's workers on the train split, in turns, and compare their bytes (ray.json).

    One process is timed from its first row to its last, the Bundle open; Ray's workers from the end of the first
    block of each to the end of the last. Starting Ray and opening the Bundles is timed apart.
    """
    size, most = rows_per_block(rows), max(count for _, count in WAYS)
    if rows % size or rows < 2 * size * most:
        raise BenchError(f"--rows {rows}: give a multiple of {size}, at least {2 * size * most}")
    examples, opened = read_splits(data).train, Bundle.open(bundle)
    found = conditions(examples, packages=("ray", "pyarrow"))
    ways: list[Any] = [
        {"engine": engine, "count": count, "rows_per_s": [], "start_s": []} for engine, count in WAYS
    ]
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        posts = Path(folder) / "posts.jsonl"
        write_posts(examples, rows, posts)
        for turn, way in itertools.product(range(rounds), ways):
            engine, count = way["engine"], way["count"]
            if engine == "process":
                content, start, steady = alone(bundle, posts, count)
            else:
                content, start, steady = with_ray(bundle, posts, count, Path(folder) / f"{turn}-{count}")
            answers.add(content)
            way["rows_per_s"].append((rows - (size * count if engine == "ray" else 0)) / steady)
            way["start_s"].append(start)
            note(f"round {turn + 1}: {engine} {count}: {way['rows_per_s'][-1]:.1f} rows/s")
    tree = {
        "bundle": {"kind": opened.kind, "precision": opened.precision, "size_bytes": opened.size_bytes()},
        **{"rows": rows, "block_rows": size, "rounds": rounds},
        "same_bytes": len(answers) == 1,
        "ways": ways,
        "speedup": median(two / one for one, two in zip(*(way["rows_per_s"] for way in ways[2:]), strict=True)),
    }
    write(results, "ray", found, tree)


def write_posts(examples: Sequence[Example], rows: int, path: Path) -> None:
    """So many rows as JSON lines."""
    with path.open("w", encoding="utf-8") as handle:
        for number, e in enumerate(itertools.islice(itertools.cycle(examples), rows)):
            image = str(e.image.absolute()) if isinstance(e.image, Path) else None
            handle.write(json.dumps({"id": f"{number}-{e.id}", "text": e.text, "image": image}) + "\n")


def alone(bundle: Path, posts: Path, threads: int) -> tuple[bytes, float, float]:
    """The predictions of one process, and the seconds of opening the Bundle and of predicting."""
    predictor, start = timed(Predictor.load, bundle, threads)
    predictions, steady = timed(lambda: b"".join(map(json_line, predictor.stream(Source.open(posts).items()))))
    return predictions, start, steady


def with_ray(bundle: Path, posts: Path, workers: int, out: Path) -> tuple[bytes, float, float]:
    """The predictions of Ray's workers, and the seconds until each has done its first block and of the rest."""
    begun = time.time()
    predict_on_ray(bundle, Source.open(posts), out, False, RayOptions(workers, 1))
    whole = time.time() - begun
    files = sorted(out.glob("predictions-*"))
    done = sorted(path.stat().st_mtime for path in files)
    steady = done[-1] - done[workers - 1]
    return b"".join(path.read_bytes() for path in files), whole - steady, steady


def rates() -> str:
    """Rows a second of one process and of Ray's workers, measured in turns."""
    tree, rows = read("ray"), []
    for way in tree["ways"]:
        what = "one process, threads" if way["engine"] == "process" else "Ray, workers of one thread"
        per_s = way["rows_per_s"]
        spread = f"{min(per_s):.1f} to {max(per_s):.1f}"
        rows.append((f"{what}: {way['count']}", f"{median(per_s):.1f}", spread, f"{median(way['start_s']):.1f}"))
    c, bundle = tree["conditions"], tree["bundle"]
    versions = ", ".join(f"{name} {c['packages'][name]}" for name in ("ray", "pyarrow", "onnxruntime"))
    return table(" | rows/s, median | lowest to highest round | before it is in its stride, s", rows) + notes(
        f"Two workers to one: {tree['speedup']:.2f} times the rows/s, the median of the rounds.",
        f"{tree['rows']:,} memes, {tree['rounds']} rounds in turns, blocks of {tree['block_rows']}; all four gave "
        f"{'the same bytes' if tree['same_bytes'] else 'DIFFERENT bytes'}.",
        f"{processor(c)}, {c['cores']} cores, load {c['load']:.1f} at the start; {bundle['precision']} "
        f"{bundle['kind']} of {bundle['size_bytes'] / 1e6:.1f} MB; {versions}.",
    )


def costs() -> str:
    """What a collection takes at the rate of two workers, were it the same on more machines."""
    (pair,) = [way for way in read("ray")["ways"] if (way["engine"], way["count"]) == ("ray", 2)]
    each = median(pair["rows_per_s"]) / pair["count"]
    hours = {rows: rows / each / 3600 for rows in (1_000_000, 100_000_000)}
    cells = ((f"{rows:,}", f"{h:,.1f}", f"{h / 16:,.2f}", f"{h / 256:,.2f}") for rows, h in hours.items())
    return table("rows | core-hours | hours on 16 cores | hours on 256 cores", cells, left=0)
