"""Where the time of one call goes, stage by stage."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.report.measured import Stage
from bench.runtimes.open_model import OpenModel
from distill.preprocess.images import decode, to_pixels
from distill.scoring.probabilities import to_probabilities

BEFORE, AFTER = ("decode", "resize", "tokenise", "batch"), ("decide",)
PASSES = 7


@dataclass(frozen=True)
class StageTimes:
    """`stages` are means over examples; `tokens` and `model_ms` belong to the middle one, a single example."""

    stages: tuple[Stage, ...]
    tokens: int
    model_ms: float


def stage_times(model: OpenModel, rows: Sequence[tuple[str, Path | None]], passes: int = PASSES) -> StageTimes:
    """Each row's median over passes, and of these the mean over rows, whose sum is the mean of a call.

    What the model takes is divided among its towers as the runtime divides it for the middle row.
    """
    by_row = []
    for text, image in rows:
        calls = [one_call(model, text, image) for _ in range(passes)]
        by_row.append({name: statistics.median(call[name] for call in calls) for name in calls[0]})
    mean = {name: statistics.fmean(times[name] for times in by_row) for name in by_row[0]}
    middle = len(rows) // 2
    text, image = rows[middle]
    batch = model.preprocessor.batch(model.preprocessor.rows([text], [model.preprocessor.image(image)]))
    towers = model.towers(batch) or {"model": 1.0}
    stages = [
        *(Stage(name, mean[name]) for name in BEFORE),
        *(Stage(name, share * mean["model"]) for name, share in towers.items()),
        *(Stage(name, mean[name]) for name in AFTER),
    ]
    return StageTimes(tuple(stages), int(batch.attention_mask.sum()), by_row[middle]["model"])


def one_call(model: OpenModel, text: str, image: Path | None) -> dict[str, float]:
    """Milliseconds of each step, the model as one; as `bench.runtimes.open_model.answer`, taken apart."""
    preprocessor, clock = model.preprocessor, [time.perf_counter()]
    decoded = decode(image, preprocessor.spec.image) if image and preprocessor.reads_images else None
    clock.append(time.perf_counter())
    pixels = to_pixels(decoded, preprocessor.spec.image) if decoded else None
    clock.append(time.perf_counter())
    rows = preprocessor.rows([text], [pixels])
    clock.append(time.perf_counter())
    batch = preprocessor.batch(rows)
    clock.append(time.perf_counter())
    logits = model.logits(batch)
    clock.append(time.perf_counter())
    model.labels.decode(model.thresholds.apply(to_probabilities(logits, model.thresholds.groups))[0])
    clock.append(time.perf_counter())
    steps = (*BEFORE, "model", *AFTER)
    return {name: 1e3 * (end - start) for name, (start, end) in zip(steps, pairwise(clock), strict=True)}
