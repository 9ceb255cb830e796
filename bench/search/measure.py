"""The costs of candidates: all Bundles of a search in one interleaved run, as `distill bench` measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from bench.measure import interleave, machine
from bench.runtimes.variants import variant_from_path
from distill.data.dataset import Example
from student.search.report import Cost, Measurement


def measure(bundles: Mapping[str, Path], calls: int, examples: Sequence[Example], threads: int) -> Measurement:
    """Of every Bundle, by the name of its candidate: one post at a time, `calls` of them. Raises BenchError and
    BundleError."""
    here, started = machine.describe(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    variants = [replace(variant_from_path(folder), name=name) for name, folder in bundles.items()]
    plan = interleave.Plan((threads,), (1,), calls, starts=1)
    measured, noise = interleave.measure(variants, examples, plan)
    costs = {}
    for variant, times in zip(variants, measured, strict=True):
        costs[variant.name] = Cost(times.timings[0].p50, variant.size_bytes, times.memory.peak_bytes)
    return Measurement(
        costs=costs,
        machine=f"{here.name}, {here.int8}, {here.system}",
        cpu=here.cpu,
        cores=here.cores,
        threads=threads,
        calls=len(measured[0].timings[0].raw_ms) * interleave.ROUND,
        examples=len(examples),
        started=started,
        packages=machine.packages(),
        noise=noise.reasons,
    )
