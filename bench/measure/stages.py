"""Where the time of one call goes. Knows the steps of a call, not who runs the model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.report.types import Stage
from bench.runtimes.serving import Served
from distill.preprocess.images import decode, to_pixels
from distill.scoring.metrics import sigmoid

BEFORE, AFTER = ("decode", "resize", "tokenise", "batch"), ("decide",)
PASSES = 7


@dataclass(frozen=True)
class Staged:
    """`stages` are means over examples; `tokens` and `model_ms` belong to the middle one, a single example."""

    stages: tuple[Stage, ...]
    tokens: int
    model_ms: float


def staged(served: Served, rows: Sequence[tuple[str, Path | None]], passes: int = PASSES) -> Staged:
    """Each row's median over passes, and of these the mean over rows, whose sum is the mean of a call.

    What the model takes is divided among its towers as the runtime says it divides for the middle row.
    """
    by_row = []
    for text, image in rows:
        timed = [one_call(served, text, image) for _ in range(passes)]
        by_row.append({name: statistics.median(times[name] for times in timed) for name in timed[0]})
    mean = {name: statistics.fmean(times[name] for times in by_row) for name in by_row[0]}
    middle = len(rows) // 2
    text, image = rows[middle]
    batch = served.reader.batch(served.reader.rows([text], [served.reader.image(image)]))
    towers = served.towers(batch) or {"model": 1.0}
    stages = [
        *(Stage(name, mean[name]) for name in BEFORE),
        *(Stage(name, share * mean["model"]) for name, share in towers.items()),
        *(Stage(name, mean[name]) for name in AFTER),
    ]
    return Staged(tuple(stages), int(batch.attention_mask.sum()), by_row[middle]["model"])


def one_call(served: Served, text: str, image: Path | None) -> dict[str, float]:
    """Milliseconds of each step, the model as one; as `bench.runtimes.serving.answer`, taken apart."""
    reader, clock = served.reader, [time.perf_counter()]
    decoded = decode(image, reader.spec.image) if image else None
    clock.append(time.perf_counter())
    pixels = to_pixels(decoded, reader.spec.image) if decoded else None
    clock.append(time.perf_counter())
    read = reader.rows([text], [pixels])
    clock.append(time.perf_counter())
    batch = reader.batch(read)
    clock.append(time.perf_counter())
    logits = served.logits(batch)
    clock.append(time.perf_counter())
    served.labels.decode(served.thresholds.apply(sigmoid(logits))[0])
    clock.append(time.perf_counter())
    steps = (*BEFORE, "model", *AFTER)
    return {name: 1e3 * (end - start) for name, (start, end) in zip(steps, pairwise(clock), strict=True)}
