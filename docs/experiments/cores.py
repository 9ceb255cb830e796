"""How posts a second grow with workers, and what one post takes, whole and by halves: cores.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.machine.cores import default_threads
from distill.core.output.terminal import note
from distill.data.dataset import Example, read_splits
from experiments.results import (
    PATH,
    ROOT,
    bundle_option,
    conditions,
    data_option,
    notes,
    processor,
    read,
    table,
    write,
)
from experiments.serve import body, load, served

TOGETHER = 16  # requests to a service at once
HALVES = ("both", "text", "image")
MORE_CORES = (4, 8, 16)  # for which posts a second are reckoned
Ask = tuple[str, int, int]  # whose code, threads, batch


@dataclass
class Process:
    """A Predictor in a process of its own, and what it answered, round by round."""

    code: str
    threads: int
    batch: int
    pipes: subprocess.Popen[str]
    many: list[dict[str, float]] = field(default_factory=list)
    alone: dict[str, list[float]] = field(default_factory=lambda: {half: [] for half in HALVES})

    def ask(self, what: str) -> Any:
        """What the process answers. Raises BenchError when it ended."""
        assert self.pipes.stdin is not None
        assert self.pipes.stdout is not None
        self.pipes.stdin.write(what + "\n")
        self.pipes.stdin.flush()
        if not (line := self.pipes.stdout.readline()):
            raise BenchError(f"{self.code}, {self.threads} threads: the process ended; its error is above")
        return json.loads(line)


@click.command("cores")
@bundle_option
@data_option
@click.option("--images", type=PATH, help="Folder of images of the same names, such as the original ones.")
@click.option("--before", type=PATH, metavar="CODE", help="Another checkout of distill, to compare with.")
@click.option("--split", default="dev", show_default=True, help="Split to ask for.")
@click.option("--rounds", default=9, show_default=True, help="Number of turns.")
@click.pass_obj
def measure(
    results: Path, bundle: Path, data: Path, images: Path | None, before: Path | None, split: str, rounds: int
) -> None:
    """Time workers, batches, halves and a service in turns, each in a process of its own (cores.json).

    With --before, an earlier checkout does the same with the same Bundle in the same rounds.
    """
    examples = [in_folder(e, images) for e in getattr(read_splits(data), split) if e.image and e.text.strip()]
    found = conditions(examples, rounds=rounds, bundle_mb=sum(p.stat().st_size for p in bundle.iterdir()) / 1e6)
    codes = {"now": ROOT, **({"before": before.absolute()} if before else {})}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        posts = Path(folder) / "posts.json"
        pairs = [(e.text, str(Path(str(e.image)).absolute())) for e in examples]
        posts.write_text(json.dumps(pairs), encoding="utf-8")
        asks = [(code, threads, 0) for code in codes for threads in sorted({1, default_threads()})]
        asks += [("now", default_threads(), batch) for batch in (4, 16)]
        processes = [stack.enter_context(_started(ask, codes[ask[0]], bundle, posts)) for ask in asks]
        services = {code: stack.enter_context(served(bundle, 0, code=path)) for code, path in codes.items()}
        bodies = list(map(body, examples))
        loads: dict[str, list[dict[str, Any]]] = {code: [] for code in codes}
        for turn in range(rounds):
            _round(processes)
            for code, service in services.items():
                loads[code].append(load(service, bodies, 2 * len(bodies), TOGETHER)[0])
            note(f"round {turn + 1}: {'; '.join(map(_line, processes))}")
        differ = _differing(processes)
        interpreter_ms = processes[0].ask("interpreter")  # the last: it answers nothing true afterwards
    tree = {
        "decisions": differ,
        "processes": [
            {"code": p.code, "threads": p.threads, "batch": p.batch or 1, "many": p.many, "p50_ms": p.alone}
            for p in processes
        ],
        "serve": loads,
        "summary": _summary(processes, loads, interpreter_ms),
    }
    write(results, "cores", found, tree)


@contextmanager
def _started(ask: Ask, code: Path, bundle: Path, posts: Path) -> Iterator[Process]:
    worker = Path(__file__).with_name("_cores_worker.py")
    command = [sys.executable, worker, bundle.absolute(), posts, ask[1], ask[2]]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    pipes = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield Process(*ask, pipes)
    finally:
        pipes.kill()
        pipes.communicate()


def _round(processes: Sequence[Process]) -> None:
    """All posts together in every process, then by themselves where nothing is batched."""
    for process in processes:
        process.many.append(process.ask("many"))
    for half in HALVES:
        for process in processes:
            if not process.batch:
                process.alone[half].append(median(process.ask(half)))


def in_folder(example: Example, images: Path | None) -> Example:
    """The example with the image of the same name in a folder."""
    return example if images is None else replace(example, image=images / Path(str(example.image)).name)


def _line(process: Process) -> str:
    batch = f" in batches of {process.batch}" if process.batch else ""
    return f"{process.code} {process.threads} threads{batch} {process.many[-1]['posts_per_s']:.0f}/s"


def _differing(processes: Sequence[Process]) -> dict[str, int]:
    """How many decisions differ from those of one worker, of all, by process."""
    answers = [process.ask("answers") for process in processes]
    counts = {"all": sum(len(probabilities) for _, probabilities in answers[0])}
    for process, own in zip(processes, answers, strict=True):
        flipped = sum(len({*a[0]} ^ {*b[0]}) for a, b in zip(own, answers[0], strict=True))
        counts[f"{process.code}, {process.threads} threads, batch {process.batch or 1}"] = flipped
    return counts


def _summary(
    processes: Sequence[Process], loads: dict[str, list[dict[str, Any]]], interpreter_ms: float
) -> dict[str, Any]:
    """Medians over rounds, and of ratios within a round; posts a second on more cores, by processor time: as many
    as the cores have time for, or as the interpreter has, which runs one thread at a time."""
    one, own = processes[0], {(p.code, p.threads, p.batch): p for p in processes}
    most = default_threads()
    now, then = own["now", most, 0], own.get(("before", most, 0))
    cpu_ms = median(turn["cpu_ms"] for turn in now.many)
    halves = {h: median(x / y for x, y in zip(one.alone[h], one.alone["both"], strict=True)) for h in HALVES[1:]}
    summary = {
        "workers_speedup": _ratio(now.many, one.many, "posts_per_s"),
        "halves_over_both": halves,
        "cpu_ms": cpu_ms,
        "interpreter_ms": interpreter_ms,
        "reckoned_posts_per_s": {n: 1e3 / max(cpu_ms / n, interpreter_ms) for n in MORE_CORES},
    }
    if then is not None:
        summary["over_before"] = {
            "posts_per_s": _ratio(now.many, then.many, "posts_per_s"),
            "one_post_ms": median(x / y for x, y in zip(now.alone["both"], then.alone["both"], strict=True)),
            **{f"serve_{key}": _ratio(loads["now"], loads["before"], key) for key in ("requests_per_s", "p99_ms")},
        }
    return summary


def _ratio(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], key: str) -> float:
    return float(median(x[key] / y[key] for x, y in zip(ours, theirs, strict=True)))


def cores() -> str:
    """What workers and cut towers are worth, as ratios within one run."""
    tree = read("cores")
    c, s = tree["conditions"], tree["summary"]
    before, halves, reckoned = s["over_before"], s["halves_over_both"], s["reckoned_posts_per_s"]
    many = {
        (p["code"], p["threads"], p["batch"]): median(turn["posts_per_s"] for turn in p["many"])
        for p in tree["processes"]
    }
    most = max(threads for code, threads, _ in many if code == "now")
    rows = [
        (f"posts a second, {most} workers over one", f"{s['workers_speedup']:.2f}"),
        (
            f"posts a second, {most} workers over batches in {most} threads, as before",
            f"{before['posts_per_s']:.2f}",
        ),
        (f"one post, milliseconds with {most} threads, over before", f"{before['one_post_ms']:.2f}"),
        ("service, 16 at once: requests a second over before", f"{before['serve_requests_per_s']:.2f}"),
        ("service, 16 at once: p99 over before", f"{before['serve_p99_ms']:.2f}"),
        ("text alone over both, milliseconds with one thread", f"{halves['text']:.2f}"),
        ("image alone over both", f"{halves['image']:.2f}"),
    ]
    differing = "; ".join(f"{name}: {count}" for name, count in tree["decisions"].items() if name != "all")
    posts = "; ".join(f"{code}, {n} threads, batch {b}: {value:.0f}" for (code, n, b), value in many.items())
    more = ", ".join(f"{value:.0f} posts a second on {n} cores" for n, value in reckoned.items())
    return table("| ratio", rows) + notes(
        f"{processor(c)}; Bundle of {c['bundle_mb']:.0f} MB; {c['examples']} posts, images of "
        f"{c['image_kb_median']:.0f} kB and {c['image_side_median']:.0f} pixels (medians).",
        f"{c['rounds']} interleaved rounds, medians of ratios within a round. Posts a second: {posts}.",
        f"Of {tree['decisions']['all']} decisions, these differ from those of one worker: {differing}.",
        f"Reckoned from processor time and what the interpreter takes of each post: {more}.",
    )
