"""How soon a process answers its first post, and how much memory `distill predict` takes: start.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.machine.cores import default_threads
from distill.core.output.terminal import note
from distill.data.dataset import Example, read_splits
from experiments.cores import in_folder
from experiments.results import (
    PATH,
    ROOT,
    bundle_option,
    conditions,
    data_option,
    distill,
    notes,
    processor,
    read,
    table,
    write,
)
from experiments.serve import rss_mb

EVERY_S = 0.5  # between two looks at a long run's memory


@click.command("start")
@bundle_option
@data_option
@click.option("--images", type=PATH, help="Folder of images of the same names, such as the original ones.")
@click.option("--before", type=PATH, metavar="CODE", help="Another checkout of distill, to compare with.")
@click.option("--split", default="dev", show_default=True, help="Split to predict for.")
@click.option("--rounds", default=9, show_default=True, help="Number of turns.")
@click.option("--rows", default=20_000, show_default=True, help="Of the long run; the split's again and again.")
@click.pass_obj
def measure(results: Path, /, bundle: Path, data: Path, **asked: Any) -> None:
    """Start processes and predict in them, in turns, and watch the memory of a long run (start.json).

    With --before, an earlier checkout does the same with the same Bundle in the same rounds.
    """
    split, images, rounds = getattr(read_splits(data), asked["split"]), asked["images"], asked["rounds"]
    examples = [in_folder(e, images) for e in split if e.image and e.text.strip()]
    found = conditions(examples, rounds=rounds, bundle_mb=sum(p.stat().st_size for p in bundle.iterdir()) / 1e6)
    codes = {"now": ROOT, **({"before": asked["before"].absolute()} if asked["before"] else {})}
    turns: dict[str, list[dict[str, Any]]] = {code: [] for code in codes}
    with tempfile.TemporaryDirectory() as folder:
        _write_posts(Path(folder), examples, asked["rows"])
        for turn in range(rounds):
            for code in list(codes)[:: -1 if turn % 2 else 1]:  # who comes first finds fewer files in the cache
                turns[code].append(_turn(codes[code], bundle.absolute(), Path(folder)))
            answers = (f"{code} {turns[code][-1]['start']['answer_ms']:.0f} ms" for code in codes)
            note(f"round {turn + 1}: first answers after {', '.join(answers)}")
        long = _watch(bundle.absolute(), Path(folder) / "long.jsonl")
    write(results, "start", found, {"turns": turns, "long": {"rows": asked["rows"], **long}})


def _write_posts(folder: Path, examples: Sequence[Example], rows: int) -> None:
    """The posts for a worker, and rows for `distill predict`, each once and many times over."""
    pairs = [(e.text, str(Path(str(e.image)).absolute())) for e in examples]
    (folder / "posts.json").write_text(json.dumps(pairs), encoding="utf-8")
    for name, count in (("rows", len(pairs)), ("long", rows)):
        numbered = enumerate(islice(cycle(pairs), count))
        lines = (json.dumps({"id": str(n), "text": text, "image": image}) for n, (text, image) in numbered)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _turn(code: Path, bundle: Path, folder: Path) -> dict[str, Any]:
    """One start, and the memory of one run with one worker and one with a worker for each core."""
    workers = sorted({1, default_threads()})
    most = {n: _worker(code, bundle, folder / "posts.json", n, folder / "rows.jsonl")["most_mb"] for n in workers}
    return {"start": _worker(code, bundle, folder / "posts.json", 1), "predict_mb": most}


def _worker(code: Path, *words: object) -> Any:
    """What the worker answers. Raises BenchError when it fails."""
    worker = Path(__file__).with_name("_start_worker.py")
    command = [sys.executable, worker, repr(time.time()), *words]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if run.returncode:
        raise BenchError(f"{code}: the process failed: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def _watch(bundle: Path, rows: Path) -> dict[str, Any]:
    """The memory of a run over many rows: after each tenth of its time, and at most."""
    started, seen = time.perf_counter(), []
    process = distill("-q", "predict", bundle, rows, "--out", rows.with_suffix(".answers.jsonl"))
    while process.poll() is None:
        seen.append(rss_mb(process.pid))
        time.sleep(EVERY_S)
    if process.returncode:
        raise BenchError(f"{rows}: distill predict ended with {process.returncode}: {process.communicate()[1]}")
    tenths = [seen[len(seen) * tenth // 10] for tenth in range(1, 10)]
    return {"tenths_mb": tenths, "most_mb": max(seen), "seconds": time.perf_counter() - started}


def start() -> str:
    """Starts and memory, now and before."""
    tree = read("start")
    c, long = tree["conditions"], tree["long"]
    names = {"import_ms": "imported", "open_ms": "Bundle open", "answer_ms": "first answer"}
    starts = {code: [turn["start"] for turn in turns] for code, turns in tree["turns"].items()}
    rows = [_row(f"{words}, ms", starts, key) for key, words in names.items()]
    rows.append(_row("processor time until then, ms", starts, "cpu_ms"))
    rows.append(_row("memory with the Bundle open, MB", starts, "open_mb"))
    for workers in tree["turns"]["now"][0]["predict_mb"]:
        most = {code: [turn["predict_mb"] for turn in turns] for code, turns in tree["turns"].items()}
        words = f"{workers} worker{'s' if workers != '1' else ''}"
        rows.append(_row(f"`distill predict`, {words}: memory at most, MB", most, workers))
    tenths = long["tenths_mb"]
    return table("| now | before | ratio", rows) + notes(
        f"{processor(c)}; Bundle of {c['bundle_mb']:.0f} MB; {c['examples']} posts, images of "
        f"{c['image_kb_median']:.0f} kB and {c['image_side_median']:.0f} pixels (medians).",
        f"Each a fresh process with files in the system's cache; {c['rounds']} interleaved rounds, medians, and of "
        "ratios within a round.",
        f"{long['rows']:,} rows in one run: {tenths[0]:.0f} MB after a tenth of the time, {tenths[-1]:.0f} MB "
        f"after nine tenths, {long['most_mb']:.0f} MB at most.",
    )


def _row(name: str, by_code: dict[str, list[dict[str, float]]], key: str) -> tuple[str, ...]:
    now, before = ([one[key] for one in by_code.get(code, [])] for code in ("now", "before"))
    if not before:
        return name, f"{median(now):.0f}", "–", "–"
    ratio = median(x / y for x, y in zip(now, before, strict=True))
    return name, f"{median(now):.0f}", f"{median(before):.0f}", f"{ratio:.2f}"
