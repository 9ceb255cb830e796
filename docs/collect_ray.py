"""Time one process and Ray's workers at the same rows, in turns, and write docs/results/ray.json.

    python docs/collect_ray.py --bundle BUNDLE --data memes/train.json [--rows 12800 --rounds 5]

One process is timed from its first row to its last, the Bundle open; Ray's workers from the end of the first block
of each to the end of the last. What starting Ray and opening the Bundles costs is said apart. The answers of all
are compared byte by byte.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from bench.measure.machine import describe
from distill.core.errors import BenchError
from distill.core.files import write_json
from distill.core.terminal import note
from distill.data.dataset import read_examples
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Predictor
from distill.runtime.ray.blocks import rows_per_block
from distill.runtime.ray.predict import predict_on_ray
from distill.runtime.ray.session import RayOptions

OUT = Path(__file__).parent / "results" / "ray.json"
THREADS = (1, 2)  # of one process
WORKERS = (1, 2)  # of Ray, a thread each


def posts(data: Path, rows: int, path: Path) -> None:
    """So many rows as JSON lines: the dataset's, again and again."""
    examples = itertools.islice(itertools.cycle(read_examples(data)), rows)
    lines = (
        {"id": f"{n}-{e.id}", "text": e.text, "image": None if e.image is None else str(e.image.absolute())}
        for n, e in enumerate(examples)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def alone(bundle: Path, source: Path, threads: int) -> tuple[bytes, dict[str, float]]:
    """The answers of one process, and its seconds by what they went to."""
    begun = time.perf_counter()
    predictor = Predictor.load(bundle, threads)
    opened = time.perf_counter()
    answers = b"".join(map(json_line, predictor.stream(Source.open(source).items())))
    return answers, {"start": opened - begun, "steady": time.perf_counter() - opened}


def with_ray(bundle: Path, source: Path, workers: int, out: Path) -> tuple[bytes, dict[str, float]]:
    """The answers of Ray's workers; `steady` is for the blocks behind each worker's first."""
    begun = time.time()
    predict_on_ray(bundle, source, out, False, RayOptions(workers, 1))
    whole = time.time() - begun
    files = sorted(out.glob("answers-*"))
    done = sorted(path.stat().st_mtime for path in files)
    steady = done[-1] - done[workers - 1]
    return b"".join(path.read_bytes() for path in files), {"start": whole - steady, "steady": steady}


@click.command()
@click.option("--bundle", required=True, type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="One labelled file.")
@click.option("--rows", default=12_800, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def collect(bundle: Path, data: Path, rows: int, rounds: int) -> None:
    """Write docs/results/ray.json."""
    size = rows_per_block(rows)
    if rows % size or rows < 2 * size * max(WORKERS):
        raise BenchError(f"--rows {rows}: give a multiple of {size}, at least {2 * size * max(WORKERS)}")
    before = describe()
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    starts: dict[tuple[str, int], list[float]] = defaultdict(list)
    same = True
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "posts.jsonl"
        posts(data, rows, source)
        for turn in range(rounds):
            found = {("process", threads): alone(bundle, source, threads) for threads in THREADS}
            for workers in WORKERS:
                out = Path(folder) / f"{turn}-{workers}"
                found["ray", workers] = with_ray(bundle, source, workers, out)
            same = same and len({answers for answers, _ in found.values()}) == 1
            for key, (_, seconds) in found.items():
                counted = rows - (size * key[1] if key[0] == "ray" else 0)
                rates[key].append(counted / seconds["steady"])
                starts[key].append(seconds["start"])
                note(f"round {turn + 1}: {key[0]} {key[1]}: {rates[key][-1]:.1f} rows/s")
    opened = Bundle.open(bundle)
    tree: dict[str, Any] = {
        "machine": asdict(before),
        "packages": {name: metadata.version(name) for name in ("ray", "pyarrow", "onnxruntime")},
        "bundle": {"kind": opened.kind, "precision": opened.precision, "size_bytes": opened.size_bytes()},
        "rows": rows,
        "block_rows": size,
        "rounds": rounds,
        "same_bytes": same,
        "ways": [
            {"engine": engine, "count": count, "rows_per_s": rates[engine, count], "start_s": starts[engine, count]}
            for engine, count in rates
        ],
        "speedup": statistics.median(two / one for one, two in zip(rates["ray", 1], rates["ray", 2], strict=True)),
    }
    write_json(OUT, tree)


if __name__ == "__main__":
    collect()
