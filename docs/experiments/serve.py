"""`distill serve` under load: docs/serve.md."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
import httpx

from distill.core.errors import ServiceError
from distill.core.output.terminal import note
from distill.data.dataset import Example, read_splits
from distill.runtime.predictor import Predictor
from experiments.results import (
    bundle_option,
    conditions,
    data_option,
    distill,
    notes,
    processor,
    read,
    table,
    timed,
    write,
)

CONCURRENCY = (1, 4, 16, 64)
Service = tuple[str, int]  # its address and its process


@click.command("serve")
@bundle_option
@data_option
@click.option("--requests", default=5000, show_default=True, help="Of the long load; a tenth of it at each step.")
@click.option("--threads", default=0, show_default="all cores", help="Threads of the model.")
@click.pass_obj
def measure(results: Path, bundle: Path, data: Path, requests: int, threads: int) -> None:
    """Load a service and the Predictor alone with the same posts (serve.json).

    The train split is asked in turn. The service is a process of its own, the client is this one: both share the
    machine. The Predictor answers the same posts one at a time.
    """
    examples = [example for example in read_splits(data).train if example.image]
    size_mb = sum(path.stat().st_size for path in bundle.iterdir()) / 1e6
    found = conditions(examples, threads=threads, bundle_mb=size_mb)
    posts, step = list(map(body, examples)), max(100, requests // 10)
    tree: dict[str, Any] = {}
    with served(bundle, threads) as service:
        load(service, posts, 100, 8)  # warm
        tree["alone"] = alone(bundle, examples, step, threads)
        tree["loads"] = [load(service, posts, step, together)[0] for together in CONCURRENCY]
        note("the long load")
        tree["long"] = load(service, posts, requests, 16)[0]
    write(results, "serve", found, tree)


@contextmanager
def served(bundle: Path, threads: int, code: Path | None = None) -> Iterator[Service]:
    """A service that is ready, and ends with the block; `code` is another checkout. Raises ServiceError."""
    process = distill("serve", bundle.absolute(), "--port", 0, "--threads", threads, code=code)
    assert process.stderr is not None
    try:
        printed = ""
        while "ready: " not in printed:
            line = process.stderr.readline()
            if not line:
                raise ServiceError(f"{bundle}: the service did not start: {printed}")
            printed += line
        yield re.findall(r"http://\S+", printed)[0], process.pid
    finally:
        process.terminate()
        process.communicate()


def rss_mb(pid: int) -> float:
    """What a process holds in memory now; Linux alone says so."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def body(example: Example) -> bytes:
    """A request's JSON, written before anything is timed."""
    assert isinstance(example.image, Path)
    image = base64.b64encode(example.image.read_bytes()).decode()
    return json.dumps({"id": example.id, "text": example.text, "image": image}).encode()


def load(service: Service, posts: Sequence[bytes], count: int, together: int) -> tuple[dict[str, Any], list[Any]]:
    """The figures of `count` requests, so many of them under way at any time, and their answers in order."""
    url, pid = service
    answers: dict[int, httpx.Response] = {}
    seconds: list[float] = []
    turns = enumerate(islice(cycle(posts), count))
    memory = [rss_mb(pid)]

    async def one(client: httpx.AsyncClient) -> None:
        for turn, content in turns:
            started = time.perf_counter()
            answers[turn] = await client.post("/v1/predict", content=content)
            seconds.append(time.perf_counter() - started)
            memory.append(rss_mb(pid))

    async def everything() -> float:
        limits = httpx.Limits(max_connections=together, max_keepalive_connections=together)
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, headers=headers) as client:
            started = time.perf_counter()
            await asyncio.gather(*(one(client) for _ in range(together)))
            return time.perf_counter() - started

    whole = asyncio.run(everything())
    figures = {
        "concurrency": together,
        "requests": count,
        "statuses": dict(Counter(str(answer.status_code) for answer in answers.values())),
        "requests_per_s": count / whole,
        **quantiles(seconds),
        "rss_mb": {"before": memory[0], "most": max(memory), "after": memory[-1]},
    }
    return figures, [answers[turn].json() for turn in range(count)]


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def alone(bundle: Path, examples: Sequence[Example], count: int, threads: int) -> dict[str, Any]:
    """The Predictor asked one post at a time, from bytes to decisions."""
    predictor = Predictor.load(bundle, threads)
    asked = [(e.text, e.image.read_bytes(), e.id) for e in examples if isinstance(e.image, Path)]
    for post in asked[:10]:
        predictor.predict(*post)
    seconds = [timed(predictor.predict, *post)[1] for post in islice(cycle(asked), count)]
    return {"requests": count, "requests_per_s": count / sum(seconds), **quantiles(seconds)}


def loads() -> str:
    """Requests a second and their times by concurrency, beside the Predictor alone."""

    def cells(row: dict[str, Any]) -> tuple[str, str, str]:
        return f"{row['requests_per_s']:.1f}", f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}"

    tree = read("serve")
    rows = [("the Predictor alone, no service", *cells(tree["alone"]))]
    rows += [(str(row["concurrency"]), *cells(row)) for row in tree["loads"]]
    c = tree["conditions"]
    return table("at once | requests/s | p50 ms | p99 ms", rows) + notes(
        f"{processor(c)}, {c['granted']:g} CPUs shared by service and client; workers: "
        f"{c['threads'] or 'one a core'}; Bundle of {c['bundle_mb']:.0f} MB; {c['examples']} memes in turn, images "
        f"of {c['image_kb_median']:.0f} kB and texts of {c['text_characters_median']:.0f} characters (medians), "
        f"sent as JSON; {tree['loads'][0]['requests']} requests each.",
    )


def memory() -> str:
    """The long load: errors and memory."""
    long = read("serve")["long"]
    errors, rss = long["requests"] - long["statuses"].get("200", 0), long["rss_mb"]
    return (
        f"{long['requests']:,} requests, {long['concurrency']} at once: {errors} errors; memory "
        f"{rss['before']:.0f} MB before, {rss['most']:.0f} MB at most, {rss['after']:.0f} MB after.\n"
    )
