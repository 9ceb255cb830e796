"""Time and memory of several variants, their rounds interleaved.

Every process is fresh and holds one variant. Cold starts come first, each alone on the machine; then all processes
of one number of threads stay open and take turns of one round: what disturbs the machine disturbs all alike. At
last each runtime answers many examples at once in its own best way, in turns too.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.measure import latency
from bench.measure.energy import Meter
from bench.measure.process import Process
from bench.measure.worker import Lap, Start
from bench.report.measured import ColdStart, Memory, Stage, Stream, Timing, WithoutArena
from bench.report.types import Noise
from bench.runtimes.variants import Variant
from distill.core.errors import BenchError
from distill.core.output.terminal import track
from distill.core.settings.recipe import MARGIN
from distill.core.untrusted import short_repr
from distill.data.dataset import Example
from distill.data.image_facts import image_hash

ROUND = 20  # examples; every round asks the same ones, so that its median tells the machine from the data
ARENA_ROUNDS = 3
MODEL_ROUNDS = 2  # of models alone, whose times have no intervals
# What is not the headline has so many times fewer rounds, and at least so many where the headline has them.
SECONDARY_DIVISOR, LEAST_ROUNDS = 4, 5
LAPS, BATCHES_A_THREAD = 2, 4  # a stream has so many laps of a round's examples, and batches for each thread

T = TypeVar("T")
Rows = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Plan:
    """What is measured: every number of threads with every batch size; the first of each is the headline, which is
    asked for `calls` examples, a call each at batch 1. The other pairs have a quarter of its rounds. `starts` is
    the number of cold starts; `device` is what the report calls the machine, its processor's name if None. The
    variant in the folder `baseline`, if there is one, is the baseline, and `margin` what verdicts are judged by."""

    threads: tuple[int, ...]
    batches: tuple[int, ...]
    calls: int
    starts: int
    device: str | None = None
    baseline: Path | None = None
    margin: float = MARGIN

    @property
    def rounds(self) -> int:
        """Of the headline."""
        return max(1, -(-self.calls // ROUND))

    @property
    def secondary_rounds(self) -> int:
        """Of everything else that is timed."""
        return min(self.rounds, max(LEAST_ROUNDS, self.rounds // SECONDARY_DIVISOR))

    @property
    def most_threads(self) -> int:
        """That streams have."""
        return max(self.threads)

    def posts(self, batch: int) -> int:
        """How many examples a stream has: whole batches, enough that the end of it, when some threads have nothing
        left to do, is a small part."""
        return batch * -(-max(LAPS * ROUND, BATCHES_A_THREAD * batch * self.most_threads) // batch)


@dataclass(frozen=True)
class Measured:
    """One variant's figures; `model_ms` is the middle example's, by its runtime alone."""

    timings: tuple[Timing, ...]
    stages: tuple[Stage, ...]
    cold: ColdStart
    memory: Memory
    joules: float | None
    model_ms: float
    streams: tuple[Stream, ...] = ()


def measure(variants: Sequence[Variant], examples: Sequence[Example], plan: Plan) -> tuple[list[Measured], Noise]:
    """All of it; the last variant is the own one, which the verdict on noise measures twice. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="distill-bench-") as name:
        rows = tuple((e.text, _file(e.image, Path(name))) for e in by_length(examples))
        session = _Session(tuple(variants), rows, plan, Path(name))
        starts = [
            [session.start(variant) for _ in range(plan.starts - 1)]
            for variant in track(variants, "cold starts", len(variants))
        ]
        measured, noise = session.headline(starts)
        for threads, batches in session.other_settings():
            timings = session.timed(threads, batches)
            measured = [replace(m, timings=m.timings + more) for m, more in zip(measured, timings, strict=True)]
        streams = session.streams()
        arenas = [session.without_arena(variant) for variant in variants]
    return [
        replace(m, streams=many, memory=replace(m.memory, without_arena=arena))
        for m, many, arena in zip(measured, streams, arenas, strict=True)
    ], noise


def numbers(text: str) -> tuple[int, ...]:
    """ "1,4" to (1, 4), each once. Raises BenchError for anything but whole numbers from 1 to 1024."""
    try:
        values = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise BenchError(f"{short_repr(text)}: give whole numbers with commas between them, such as 1,4") from error
    if min(values) < 1 or max(values) > 1024:
        raise BenchError(f"{short_repr(text)}: each number must be from 1 to 1024, such as 1,4")
    return values


def by_length(examples: Sequence[Example]) -> list[Example]:
    """A round's examples: from the shortest text to the longest in even steps, some twice when there are few."""
    ordered = sorted(examples, key=lambda example: (len(example.text), example.id))
    return [ordered[index] for index in np.linspace(0, len(ordered) - 1, ROUND).round().astype(int)]


def _file(image: Path | bytes | None, folder: Path) -> str | None:
    """The path of an image, which is written to the folder where it is no file."""
    if isinstance(image, bytes):
        path = folder / f"{image_hash(image)}.image"
        path.write_bytes(image)
        return str(path)
    return None if image is None else str(image.resolve())


@dataclass(frozen=True)
class _Session:
    """The processes of one measurement; `rows` are those of a round."""

    variants: tuple[Variant, ...]
    rows: Rows
    plan: Plan
    folder: Path

    def start(self, variant: Variant) -> Start:
        """The start of a fresh process, which ends at once."""
        with self._open([variant], self.plan.threads[0]) as (process,):
            return process.start

    def headline(self, starts: Sequence[list[Start]]) -> tuple[list[Measured], Noise]:
        """Threads and batch of the headline, with the own variant once more, in a second process; `starts` are each
        variant's so far."""
        threads, batch = self.plan.threads[0], self.plan.batches[0]
        with self._open([*self.variants, self.variants[-1]], threads) as processes:
            rounds, joules = self._rounds(processes, batch, self.plan.rounds)
            held = [process.memory() for process in processes[:-1]]
            # After that, because images held decoded and a profile take memory of their own.
            alone = self._alone(processes[:-1], batch)
            stages = [process.stages() for process in processes[:-1]]
        timings = [latency.summarise(threads, batch, *parts) for parts in zip(rounds[:-1], alone, strict=True)]
        names = [variant.name for variant in self.variants]
        noise = latency.noise(rounds[-2], rounds[-1], list(zip(names, timings, strict=True)))
        measured = []
        for i, (before, process) in enumerate(zip(starts, processes, strict=False)):
            first = process.start
            measured.append(
                Measured(
                    timings=(timings[i],),
                    stages=stages[i].stages,
                    cold=cold_start([*before, first]),
                    memory=Memory(
                        imported=first.imported,
                        load_peak_bytes=first.load_peak_bytes,
                        steady=held[i].steady,
                        peak_bytes=held[i].peak_bytes,
                        torch_loaded=first.torch,
                        without_arena=None,
                    ),
                    joules=joules[i],
                    model_ms=stages[i].model_ms,
                )
            )
        return measured, noise

    def other_settings(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Numbers of threads with the batch sizes that the headline leaves to measure."""
        for threads in self.plan.threads:
            batches = self.plan.batches[1:] if threads == self.plan.threads[0] else self.plan.batches
            if batches:
                yield threads, batches

    def timed(self, threads: int, batches: Sequence[int]) -> list[tuple[Timing, ...]]:
        """Of every variant, a Timing a batch size."""
        with self._open(self.variants, threads) as processes:
            count = self.plan.secondary_rounds
            by_batch = [
                (batch, self._rounds(processes, batch, count)[0], self._alone(processes, batch))
                for batch in batches
            ]
        return [
            tuple(latency.summarise(threads, batch, rounds[i], alone[i]) for batch, rounds, alone in by_batch)
            for i in range(len(self.variants))
        ]

    def streams(self) -> list[tuple[Stream, ...]]:
        """Of every variant, a Stream a batch size, with the most threads. A turn has all batch sizes, so that
        rounds of different ones are pairs too."""
        plan, batches = self.plan, sorted(self.plan.batches)

        def many(process: Process) -> list[Lap]:
            return [process.many(batch, plan.posts(batch)) for batch in batches]

        with self._open(self.variants, plan.most_threads) as processes:
            _turns(processes, many, 1, "many at once, warming up")
            laps = _turns(processes, many, plan.secondary_rounds, "many at once")

        def stream(turns: Sequence[list[Lap]], place: int, batch: int) -> Stream:
            how, seconds = turns[0][place].how, [turn[place].seconds for turn in turns]
            return latency.stream(plan.most_threads, batch, how, plan.posts(batch), seconds)

        return [tuple(stream(turns, *each) for each in enumerate(batches)) for turns in laps]

    def without_arena(self, variant: Variant) -> WithoutArena | None:
        """The same calls without onnxruntime's arena; None for another runtime."""
        if variant.runtime != "onnxruntime":
            return None
        with self._open([variant], self.plan.threads[0], arena=False) as (process,):
            process.calls(1)
            times = [time for _ in range(ARENA_ROUNDS) for time in process.calls(1)]
            held = process.memory()
        return WithoutArena(held.steady, held.peak_bytes, statistics.median(times))

    @contextmanager
    def _open(self, variants: Sequence[Variant], threads: int, arena: bool = True) -> Iterator[list[Process]]:
        with ExitStack() as stack:
            processes = []
            for variant in variants:
                processes.append(Process(variant, threads, self.rows, self.folder, arena))
                stack.callback(processes[-1].close)
            yield processes

    def _rounds(
        self, processes: Sequence[Process], batch: int, count: int
    ) -> tuple[list[list[list[float]]], list[float | None]]:
        """Every process's rounds, in turns, and its joules a call."""
        for process in processes:
            process.calls(batch)  # the first round warms up
        meter = Meter.open()

        def metered(process: Process) -> tuple[list[float], float]:
            before = meter.joules() if meter else 0.0
            return process.calls(batch), (meter.joules() if meter else 0.0) - before

        turns = _turns(processes, metered, count, f"timing, batch {batch}")
        rounds = [[times for times, _ in own] for own in turns]
        timed = sum(len(part) for part in rounds[0])
        return rounds, [sum(joules for _, joules in own) / timed if meter else None for own in turns]

    def _alone(self, processes: Sequence[Process], batch: int) -> list[list[list[float]]]:
        """Every process's rounds with all decoded beforehand, of a model that has answered the same before."""
        count = min(MODEL_ROUNDS, self.plan.secondary_rounds)
        return _turns(processes, lambda process: process.model_calls(batch), count, f"models alone, batch {batch}")


def _turns(processes: Sequence[Process], ask: Callable[[Process], T], count: int, title: str) -> list[list[T]]:
    """What each process answers, turn by turn."""
    answers: list[list[T]] = [[] for _ in processes]
    for _ in track(range(count), title, count):
        for process, own in zip(processes, answers, strict=True):
            own.append(ask(process))
    return answers


def cold_start(starts: Sequence[Start]) -> ColdStart:
    """Medians of fresh processes' starts."""
    parts = ("total_ms", "import_ms", "open_ms", "first_call_ms")
    return ColdStart(
        **{part: statistics.median(getattr(start, part) for start in starts) for part in parts},
        starts_ms=tuple(start.total_ms for start in starts),
    )
