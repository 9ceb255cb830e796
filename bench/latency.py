"""Latency, cold start and peak memory of several variants, their rounds interleaved. Knows processes and
times, no quality."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.variants import Variant
from distill.data import Example
from distill.errors import BenchError
from distill.metrics import Interval
from distill.terminal import track

ROUND = 20  # calls; every round calls the same examples, so that its median tells the machine from the data


@dataclass(frozen=True)
class Latency:
    """End-to-end milliseconds at batch 1: picture file and text in, labels out.

    `p50_interval` is a bootstrap interval; `round_spread` is (largest - smallest) / median of the rounds'
    medians: how much the machine itself moved. `cold_start_ms` runs from the start of the process to its
    first answer, `load_ms` to the open model. `raw_ms` are all timed calls, warm-up excluded.
    """

    p50_ms: float
    p50_interval: Interval
    p90_ms: float
    round_spread: float
    cold_start_ms: float
    load_ms: float
    peak_rss_bytes: int
    torch_loaded: bool
    raw_ms: tuple[float, ...]


def measure(variants: Sequence[Variant], examples: Sequence[Example], threads: int, calls: int) -> list[Latency]:
    """Each variant in a fresh process. Cold starts are measured one after the other, alone on the machine;
    then every process stays open and they take turns of 20 calls. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="distill-bench-") as folder:
        rows = Path(folder) / "rows.json"
        content = [
            (example.text, str(example.image.resolve()) if example.image else None)
            for example in by_length(examples)
        ]
        rows.write_text(json.dumps(content), encoding="utf-8")
        workers: list[_Worker] = []
        try:
            for variant in variants:
                workers.append(_Worker(variant, threads, rows))
                workers[-1].wait_until_open()
            for worker in workers:
                worker.ask(str(ROUND))  # the first round warms up
            rounds = max(1, -(-calls // ROUND))
            for _ in track(range(rounds), "timing", rounds):
                for worker in workers:
                    worker.rounds.append(worker.ask(str(ROUND))["latency_ms"])
            return [worker.result() for worker in workers]
        finally:
            for worker in workers:
                worker.close()


def by_length(examples: Sequence[Example]) -> list[Example]:
    """A round's examples: from the shortest text to the longest in even steps, some twice when there are few."""
    ordered = sorted(examples, key=lambda example: (len(example.text), example.id))
    return [ordered[index] for index in np.linspace(0, len(ordered) - 1, ROUND).round().astype(int)]


def summarise(rounds: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, Interval, float, float]:
    """p50, its 95 % bootstrap interval, p90 and the spread of the rounds' medians."""
    times = np.concatenate([np.asarray(part) for part in rounds])
    generator = np.random.default_rng(seed)
    medians = np.median(generator.choice(times, size=(1000, len(times))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    p50 = float(np.median(times))
    by_round = [float(np.median(part)) for part in rounds]
    return (
        p50,
        Interval(float(low), float(high)),
        float(np.percentile(times, 90)),
        (max(by_round) - min(by_round)) / p50,
    )


class _Worker:
    """A variant's process and what it has answered."""

    def __init__(self, variant: Variant, threads: int, rows: Path) -> None:
        self.variant = variant
        self.rounds: list[list[float]] = []
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [
            sys.executable,
            "-m",
            "bench.worker",
            str(variant.folder),
            variant.runtime,
            str(threads),
            str(rows),
            str(time.time()),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def wait_until_open(self) -> None:
        """Until the first prediction is made. Raises BenchError when the process dies before."""
        self.start = self._read()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line, return the answer. Raises BenchError when the process has died."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._dead()
        return self._read()

    def result(self) -> Latency:
        """Everything measured."""
        p50, interval, p90, spread = summarise(self.rounds)
        return Latency(
            p50_ms=p50,
            p50_interval=interval,
            p90_ms=p90,
            round_spread=spread,
            cold_start_ms=self.start["cold_start_ms"],
            load_ms=self.start["load_ms"],
            peak_rss_bytes=self.ask("memory")["peak_rss_bytes"],
            torch_loaded=self.start["torch"],
            raw_ms=tuple(value for part in self.rounds for value in part),
        )

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            if pipe is not None:
                pipe.close()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._dead()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _dead(self) -> None:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {self.process.returncode}"
        raise BenchError(f"{self.variant.folder}: its process ended: {reason}")
