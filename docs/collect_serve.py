"""Load a service of a Bundle and put what it did into docs/results/serve.json.

    python docs/collect_serve.py BUNDLE DATA [--requests 5000] [--fuzz 200]

DATA is a dataset with images, whose train split is asked in turn. `distill serve` runs as a process of its own,
the client in this one, so both share the machine. Beside it, in the same run, the Predictor answers the same posts
one at a time without a service. With --fuzz, schemathesis sends so many cases an operation (pip install
schemathesis).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from distill.core.cores import granted_cpus
from distill.core.errors import BenchError, ServiceError
from distill.core.files import write_json
from distill.core.isa import cpu_name
from distill.core.terminal import note
from distill.data.dataset import Example, read_splits
from distill.runtime.predictor import Predictor

OUT = Path(__file__).parent / "results" / "serve.json"
CONCURRENCY = (1, 4, 16, 64)
UNCHECKED = "positive_data_acceptance"  # no schema can say what base64 of an image is


@contextmanager
def served(bundle: Path, threads: int, *words: str) -> Iterator[tuple[str, int]]:
    """The address and the process id of a service that is ready."""
    command = [sys.executable, "-m", "distill.cli", "serve", str(bundle), "--port", "0", "--threads", str(threads)]
    process = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        while "ready: " not in said:
            line = process.stderr.readline()
            if not line:
                raise ServiceError(f"{bundle}: the service did not start: {said}")
            said += line
        yield re.findall(r"http://\S+", said)[0], process.pid
    finally:
        process.terminate()
        process.communicate()


def rss_mb(pid: int) -> float:
    """What the process holds in memory now; Linux alone says so."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def posts(examples: list[Example]) -> list[bytes]:
    """Bodies in JSON, made before anything is timed."""
    return [
        json.dumps({"id": e.id, "text": e.text, "image": base64.b64encode(e.image.read_bytes()).decode()}).encode()
        for e in examples
        if e.image
    ]


async def load(url: str, bodies: list[bytes], count: int, together: int, pid: int) -> dict[str, Any]:
    """`count` requests, so many of them under way at any time."""
    seconds: list[float] = []
    statuses: Counter[str] = Counter()
    turns = iter(range(count))
    memory = [rss_mb(pid)]

    async def one(client: httpx.AsyncClient) -> None:
        for turn in turns:
            started = time.perf_counter()
            answer = await client.post("/v1/predict", content=bodies[turn % len(bodies)])
            seconds.append(time.perf_counter() - started)
            statuses[str(answer.status_code)] += 1
            if turn % 50 == 0:
                memory.append(rss_mb(pid))

    limits = httpx.Limits(max_connections=together, max_keepalive_connections=together)
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, headers=headers) as client:
        started = time.perf_counter()
        await asyncio.gather(*(one(client) for _ in range(together)))
        whole = time.perf_counter() - started
    memory.append(rss_mb(pid))
    return {
        "concurrency": together,
        "requests": count,
        "statuses": dict(statuses),
        "requests_per_s": count / whole,
        **quantiles(seconds),
        "rss_mb": {"before": memory[0], "most": max(memory), "after": memory[-1]},
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def alone(bundle: Path, examples: list[Example], count: int, threads: int) -> dict[str, Any]:
    """The Predictor asked one post at a time, from bytes to decisions, without a service."""
    predictor = Predictor.load(bundle, threads)
    asked = [(e.text, e.image.read_bytes(), e.id) for e in examples if e.image]
    for post in asked[:10]:
        predictor.predict(*post)
    seconds = []
    for turn in range(count):
        started = time.perf_counter()
        predictor.predict(*asked[turn % len(asked)])
        seconds.append(time.perf_counter() - started)
    return {"requests": count, "requests_per_s": count / sum(seconds), **quantiles(seconds)}


def drift(url: str, bundle: Path, examples: list[Example], bodies: list[bytes]) -> dict[str, float]:
    """How answers in batches differ from answers alone: int8 that finds its ranges at run time finds a batch's."""
    predictor = Predictor.load(bundle)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            headers = {"content-type": "application/json"}
            return await asyncio.gather(
                *(client.post("/v1/predict", content=body, headers=headers) for body in bodies[:48])
            )

    answers = [response.json() for response in asyncio.run(ask())]
    own = [predictor.predict(e.text, e.image, e.id) for e in examples if e.image][:48]
    moved = [
        abs(p - answer["probabilities"][name])
        for one, answer in zip(own, answers, strict=True)
        for name, p in one.probabilities.items()
    ]
    flipped = sum(len({*one.labels} ^ {*answer["labels"]}) for one, answer in zip(own, answers, strict=True))
    return {"decisions": len(moved), "flipped": flipped, "mean": statistics.mean(moved), "most": max(moved)}


def fuzz(url: str, examples: int) -> dict[str, Any]:
    """What schemathesis says of the running service."""
    words = ["run", f"{url}/openapi.json", "--max-examples", str(examples), "--seed", "13"]
    ran = subprocess.run(
        ["schemathesis", *words, "--exclude-checks", UNCHECKED], capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    if found is None or ran.returncode:
        raise BenchError(f"schemathesis found something:\n{ran.stdout}{ran.stderr}")
    return {"cases": int(found[1]), "passed": int(found[2]), "seed": 13}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--requests", default=5000, show_default=True, help="Of the long load; a tenth of it at each step.")
@click.option("--threads", default=0, show_default="all cores")
@click.option("--fuzz", "cases", default=0, show_default=True, help="Cases of schemathesis an operation.")
@click.option("--out", default=OUT, show_default="docs/results/serve.json", type=click.Path(path_type=Path))
def collect(bundle: Path, data: Path, requests: int, threads: int, cases: int, out: Path) -> None:
    """Write docs/results/serve.json."""
    examples = [example for example in read_splits(data).train if example.image]
    bodies = posts(examples)
    step = max(100, requests // 10)
    tree: dict[str, Any] = {
        "conditions": {
            "cpu": cpu_name(),
            "cpus": granted_cpus(),
            "threads": threads,
            "bundle_mb": sum(path.stat().st_size for path in bundle.iterdir()) / 1e6,
            "posts": len(bodies),
            "image_kb_median": statistics.median(e.image.stat().st_size for e in examples if e.image) / 1e3,
            "text_characters_median": statistics.median(len(e.text) for e in examples),
        }
    }
    with served(bundle, threads) as (url, pid):
        asyncio.run(load(url, bodies, 100, 8, pid))  # warm
        tree["alone"] = alone(bundle, examples, step, threads)
        tree["loads"] = [asyncio.run(load(url, bodies, step, together, pid)) for together in CONCURRENCY]
        note("the long load")
        tree["long"] = asyncio.run(load(url, bodies, requests, 16, pid))
        tree["drift"] = drift(url, bundle, examples, bodies)
        if cases:
            tree["fuzz"] = fuzz(url, cases)
    with served(bundle, threads, "--max-batch", "1") as (url, pid):
        asyncio.run(load(url, bodies, 100, 8, pid))
        tree["unbatched"] = [asyncio.run(load(url, bodies, step, together, pid)) for together in CONCURRENCY]
    write_json(out, tree)


if __name__ == "__main__":
    collect()
