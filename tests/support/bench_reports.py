"""Benchmark reports made of seeded numbers, for tests of what is made from reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.report.measured import ColdStart, Memory, Peak, Resident, Stage, Stream, Timing, WithoutArena, Work
from bench.report.types import BenchReport, Bin, Conditions, Difference, Estimate, Machine, Noise, Row
from distill.scoring.metrics import ConstantBaseline, Quality, measure_probabilities, sigmoid

LABELS = (
    "Appeal to authority",
    "Appeal to fear/prejudice",
    "Black-and-white Fallacy/Dictatorship",
    "Causal Oversimplification",
    "Doubt",
    "Exaggeration/Minimisation",
    "Flag-waving",
    "Glittering generalities (Virtue)",
    "Loaded Language",
    "Misrepresentation of Someone's Position (Straw Man)",
    "Name calling/Labeling",
    "Obfuscation, Intentional vagueness, Confusion",
    "Presenting Irrelevant Data (Red Herring)",
    "Reductio ad hitlerum",
    "Repetition",
    "Slogans",
    "Smears",
    "Thought-terminating cliché",
    "Whataboutism",
    "Bandwagon",
    "Transfer",
    "Appeal to (Strong) Emotions",
)
# name, runtime, p50 ms, MB on disk, MB above imports, how well it separates
VARIANTS = (
    ("teacher PyTorch", "torch", 144.8, 230.2, 910.0, 0.85),
    ("student PyTorch", "torch", 70.9, 272.4, 990.0, 0.6),
    ("student fp32 ONNX", "onnxruntime", 36.1, 273.5, 355.0, 0.6),
    ("student int8 ONNX", "onnxruntime", 14.0, 69.7, 95.0, 0.57),
)


def report(
    variants: Sequence[tuple[str, str, float, float, float, float]] = VARIANTS,
    labels: Sequence[str] = LABELS,
    machine: str = "small-box",
    started: str = "2026-01-02 03:04:05 UTC",
    calls: int = 400,
    noisy: bool = False,
    slower: float = 1.0,
    examples_sha256: str = "ab" * 32,
    threads: Sequence[int] = (1, 2, 4),
    batches: Sequence[int] = (4, 16),
    seed: int = 0,
) -> BenchReport:
    """The last variant is the own one and the third from the end its reference, where there is one."""
    rng = np.random.default_rng(seed)
    gold = (rng.random((60, len(labels))) < np.geomspace(0.5, 0.01, len(labels))).astype(np.float32)
    noise = rng.normal(size=gold.shape)
    rows = []
    for i, variant in enumerate(variants):
        own = i == len(variants) - 1
        reference = None if i == 0 else variants[max(0, len(variants) - 2)][0] if own else variants[0][0]
        rows.append(_row(rng, variant, own, reference, tuple(labels), gold, noise, calls, slower, threads, batches))
    reasons = (
        "the medians of student int8 ONNX's rounds moved by 31%",
        "the same Bundle in two processes differed by 9%",
    )
    return BenchReport(
        machine=Machine(
            machine,
            "AMD EPYC",
            ("avx2", "avx512_vnni"),
            "x86-vnni",
            2,
            2.0,
            "0-1",
            None,
            8 << 30,
            "Linux x86_64",
            0.2,
        ),
        conditions=Conditions(
            *(started, "3.11.7", "0.1.0", "645256c", {"onnxruntime": "1.32.0", "numpy": "2.4.6"}),
            *("spin for a while", "dev", 60, examples_sha256, calls, 20),
        ),
        noise=Noise("noisy", Estimate(1.09, 1.02, 1.2), reasons)
        if noisy
        else Noise("quiet", Estimate(1.004, 0.991, 1.017), ()),
        peaks=tuple(Peak(t, 384, 768, 3072, 210.5 * t, 61.2 * t, 20.5) for t in (1, 2)),
        labels=tuple(labels),
        gold=tuple(tuple(np.flatnonzero(row).tolist()) for row in gold),
        constant=ConstantBaseline(tuple(labels[:2]), 0.586, 0.099, 0.235),
        rows=tuple(rows),
    )


def _row(
    rng: np.random.Generator,
    variant: tuple[str, str, float, float, float, float],
    own: bool,
    reference: str | None,
    labels: tuple[str, ...],
    gold: np.ndarray,
    noise: np.ndarray,
    calls: int,
    slower: float,
    threads: Sequence[int],
    batches: Sequence[int],
) -> Row:
    name, runtime, p50, disk, above, skill = variant
    p50 = p50 * slower
    quality, probabilities = _quality(labels, gold, noise, skill)
    timings = [_timing(rng, p50, t, 1, calls) for t in threads]
    timings += [_timing(rng, p50 * 0.8 * b, threads[0], b, 40) for b in batches]
    torch, mb = runtime == "torch", 1_000_000
    imported = 650 * mb if torch else 92 * mb
    peak = imported + round(above * mb)
    shares = (0.12, 0.08, 0.05, 0.02, 0.71, 0.02) if torch else (0.14, 0.09, 0.05, 0.02, 0.38, 0.29, 0.02, 0.01)
    names = (
        "decode",
        "resize",
        "tokenise",
        "batch",
        *(("model",) if torch else ("text", "image", "head")),
        "decide",
    )
    bare = WithoutArena(Resident(peak - 60 * mb, None), peak - 40 * mb, p50 * 1.04)
    return Row(
        name=name,
        runtime=runtime,
        own=own,
        size_bytes=round(disk * mb),
        timings=tuple(timings),
        stages=tuple(Stage(*pair) for pair in zip(names, (share * p50 for share in shares), strict=True)),
        cold=ColdStart(p50 * 30, p50 * 20, p50 * 8, p50 * 2, (p50 * 29, p50 * 30, p50 * 33)),
        memory=Memory(
            *(
                Resident(imported, imported - 9 * mb),
                peak - 20 * mb,
                Resident(peak - 35 * mb, peak - 44 * mb),
                peak,
            ),
            *(torch, None if torch else bare),
        ),
        joules=None if torch else p50 * 0.02,
        work=Work(
            *(48, 2_900 * mb if own else 0, 300 * mb if own else 3_200 * mb, p50 * 0.7, p50 * 0.4, 0.4 / 0.7),
            round(0.6 * disk * mb),
        ),
        quality=quality,
        quality_own_thresholds=quality if own else None,
        quality_text_alone=quality,
        quality_image_alone=quality,
        thresholds="fitted on out-of-fold train, 687 examples",
        reliability=_bins(gold, probabilities),
        differences=()
        if reference is None
        else (Difference(reference, Estimate(-0.007, -0.031, 0.012), Estimate(0.001, -0.02, 0.03), 17, gold.size),),
        decided=tuple(tuple(np.flatnonzero(row >= 0.5).tolist()) for row in probabilities),
        streams=tuple(
            Stream(2, b, "2 workers", 40, Estimate(1800 / p50, 1700 / p50, 1900 / p50), (p50 / 45,) * 6)
            for b in (1, 8)
        ),
    )


def _quality(
    labels: tuple[str, ...], gold: np.ndarray, noise: np.ndarray, skill: float
) -> tuple[Quality, np.ndarray]:
    prior = np.log(np.geomspace(0.6, 0.03, gold.shape[1]))
    probabilities = sigmoid((0.8 * noise + skill * (3 * gold - 0.8) + prior).astype(np.float32))
    return measure_probabilities(
        labels, gold, probabilities, np.full(len(labels), 0.5, dtype=np.float32)
    ), probabilities


def _timing(rng: np.random.Generator, p50: float, threads: int, batch: int, calls: int) -> Timing:
    times = (
        p50
        / threads**0.7
        * (0.9 + rng.gamma(2.0, 0.08, (calls // 20, 20)) ** 1.2 + 0.02 * rng.normal(size=(calls // 20, 1)))
    )
    medians = np.median(times, axis=1)

    def estimate(quantile: float) -> Estimate:
        value = float(np.quantile(times, quantile))
        return Estimate(value, value * 0.98, value * 1.03)

    return Timing(
        threads=threads,
        batch=batch,
        p50=estimate(0.5),
        p90=estimate(0.9) if times.size >= 36 else None,
        p99=estimate(0.99) if times.size >= 368 else None,
        round_spread=float((medians.max() - medians.min()) / np.median(medians)),
        raw_ms=tuple(tuple(part) for part in times.tolist()),
        model_raw_ms=tuple(tuple(0.8 * time for time in part) for part in times[:3].tolist()),
    )


def _bins(gold: np.ndarray, probabilities: np.ndarray) -> tuple[Bin, ...]:
    found = []
    for i in range(15):
        inside = (probabilities * 15).astype(int).clip(0, 14) == i
        some = bool(inside.any())
        mean, frequency = (float(a[inside].mean()) if some else 0.0 for a in (probabilities, gold))
        found.append(Bin(i / 15, (i + 1) / 15, mean, frequency, int(inside.sum())))
    return tuple(found)
