"""What other ways of training on the cores would bring: training-ways.json."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import click
import torch

from distill.core.output.terminal import note
from experiments.results import conditions, notes, processor, read, table, write

BATCH, TOKENS = 16, 64
WAYS = {
    "processes": "two processes of one thread each",
    "compiled": "`torch.compile`, two threads",
}
_all_ready: Any


@click.command("training-ways")
@click.option("--encoder", "encoders", required=True, multiple=True, metavar="NAME=MODEL", help="Repeatable.")
@click.option("--steps", default=20, show_default=True, help="Of training, timed in each way.")
@click.pass_obj
def measure(results: Path, encoders: tuple[str, ...], steps: int) -> None:
    """Time steps of training in bf16 with two threads, in two processes, and compiled (training-ways.json)."""
    took = {}
    for name, _, model in (pair.partition("=") for pair in encoders):
        took[name] = {way: _way_s(model, steps, way) for way in ("threads", *WAYS)}
        note(f"{name}: {took[name]}")
    write(results, "training-ways", conditions(steps=steps, batch=BATCH, tokens=TOKENS), {"seconds": took})


def _way_s(model: str, steps: int, way: str) -> float:
    """Seconds a step of training, of two processes together where there are two."""
    context = multiprocessing.get_context("spawn")
    count = 2 if way == "processes" else 1
    with context.Pool(count, _begin, (context.Barrier(count),)) as pool:
        arguments = [(model, steps, 2 // count, way == "compiled")] * count
        return statistics.mean(pool.starmap(_step_s, arguments, chunksize=1)) / count


def _begin(barrier: Any) -> None:
    global _all_ready
    _all_ready = barrier


def _step_s(model: str, steps: int, threads: int, is_compiled: bool) -> float:
    """Seconds a step, in a process of its own, after two that do not count and once every process is so far."""
    from transformers import AutoModel

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    encoder = AutoModel.from_pretrained(model).train()
    run: Any = torch.compile(encoder) if is_compiled else encoder
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5)
    ids = torch.randint(1000, 20_000, (BATCH, TOKENS))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = run(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(2):
        step()
    _all_ready.wait()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps


def ways() -> str:
    """Seconds a step in each way, and how many times as quick it is."""
    tree = read("training-ways")
    c = tree["conditions"]
    rows = [
        (f"{name}, {WAYS[way]}", f"{took['threads']:.2f}", f"{took[way]:.2f}", f"{took['threads'] / took[way]:.2f}")
        for name, took in tree["seconds"].items()
        for way in WAYS
    ]
    return table(" | two threads, s a step | so, s a step | times as quick", rows) + notes(
        f"Training in bf16, {c['batch']} texts of {c['tokens']} tokens a step, {c['steps']} steps; {processor(c)}, "
        f"{c['cores']} cores, torch {c['packages']['torch']}."
    )
