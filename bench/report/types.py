"""The results of a benchmark, typed, and their JSON, from which tables, pages and comparisons are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.report.bounds import check_report
from distill.core.errors import BenchError, RecipeError
from distill.core.files import read_json
from distill.core.schema import build_dataclass
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import ConstantBaseline, Decisions, Quality, Targets
from distill.scoring.verdict import Verdict

SCHEMA = 5

# Of every example, the places of the labels that it has, or that are decided for it.
Indices = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call of `batch` examples, end to end: image files and texts in, labels out.

    `raw_ms` holds the timed calls round by round, warm-up excluded. The intervals draw whole rounds, because calls
    of one round share the machine's mood. p90 and p99 are None below the number of calls that they need.
    `round_spread` is (largest - smallest) / median of the rounds' medians.
    """

    threads: int
    batch: int
    p50: Estimate
    p90: Estimate | None
    p99: Estimate | None
    round_spread: float
    raw_ms: tuple[tuple[float, ...], ...]

    @property
    def calls(self) -> int:
        """How many were timed."""
        return sum(len(part) for part in self.raw_ms)

    @property
    def throughput(self) -> Estimate:
        """Examples a second at the median call."""
        p50 = self.p50
        return Estimate(*(1000 * self.batch / ms for ms in (p50.value, p50.high, p50.low)))


@dataclass(frozen=True)
class Stage:
    """Mean milliseconds of one step of a call at batch 1. Names, in order: decode, resize, tokenise, batch, then
    text, image and head, or model where the runtime does not tell them apart, then decide."""

    name: str
    ms: float


@dataclass(frozen=True)
class ColdStart:
    """Milliseconds, each the median over `starts_ms`, which holds every fresh process's whole time from its start
    to its first answer: interpreter and imports, opening the model alone, and the first call."""

    total_ms: float
    import_ms: float
    open_ms: float
    first_call_ms: float
    starts_ms: tuple[float, ...]


@dataclass(frozen=True)
class Resident:
    """Bytes of a process in memory; PSS counts pages shared with others in part, None where the system has none."""

    rss_bytes: int
    pss_bytes: int | None


@dataclass(frozen=True)
class WithoutArena:
    """The same calls in a process whose onnxruntime gives memory back at once (enable_cpu_mem_arena off)."""

    steady: Resident
    peak_bytes: int
    p50_ms: float


@dataclass(frozen=True)
class Memory:
    """`imported` is the interpreter with the same imports and no model: what is above it is the model's.
    `load_peak_bytes` and `peak_bytes` are the largest RSS up to the open model and up to the last call, `steady`
    after it."""

    imported: Resident
    load_peak_bytes: int
    steady: Resident
    peak_bytes: int
    torch_loaded: bool
    without_arena: WithoutArena | None


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one example of `tokens` tokens, in 8 bits or fewer and in float; `model_ms` is
    the model's time for it, `ideal_ms` what it would take at the machine's measured peaks, `of_peak` their
    ratio."""

    tokens: int
    low_bit_macs: int
    float_macs: int
    model_ms: float
    ideal_ms: float
    of_peak: float


@dataclass(frozen=True)
class Peak:
    """The machine's own matrix products in onnxruntime, in 10^9 operations a second (a multiply-accumulate is
    two): what the best of calls reached for rows x inner x columns."""

    threads: int
    rows: int
    inner: int
    columns: int
    int8_gops: float
    fp32_gops: float


@dataclass(frozen=True)
class Difference:
    """A variant minus `reference` on the same examples: F1 with paired bootstrap intervals, how many of the
    decisions are others, and the verdict, None in reports of earlier versions."""

    reference: str
    micro_f1: Estimate
    macro_f1: Estimate
    flipped: int
    decisions: int
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram, over all (example, label) pairs with a probability in [low, high)."""

    low: float
    high: float
    mean_probability: float
    frequency: float
    count: int


@dataclass(frozen=True)
class Row:
    """One variant. `own` marks the Bundle that the benchmark is about; the first of `timings` is the headline.

    `joules` are those of a call, of the whole package. `differences` are from the report's reference, from its
    baseline and, of the own Bundle, from its fp32 parent. `quality_text_alone` is None where no example has a text,
    `quality_image_alone` where none has an image. `decided` holds, for every example in order, the indices of the
    labels decided for, which `quality` measures.
    """

    name: str
    runtime: str
    own: bool
    size_bytes: int
    timings: tuple[Timing, ...]
    stages: tuple[Stage, ...]
    cold: ColdStart
    memory: Memory
    joules: float | None
    work: Work | None
    quality: Quality
    quality_own_thresholds: Quality | None
    quality_text_alone: Quality | None
    quality_image_alone: Quality | None
    thresholds: str
    reliability: tuple[Bin, ...]
    differences: tuple[Difference, ...]
    decided: Indices

    def difference_from(self, name: str) -> Difference | None:
        """The one from the variant of this name, if it was taken."""
        return next((each for each in self.differences if each.reference == name), None)


@dataclass(frozen=True)
class Noise:
    """Whether times may be quoted. The own Bundle runs twice, in two processes: `ratio` is the second's p50 over
    the first's, which would be 1 on a silent machine. `reasons` say why it is noisy, a sentence each."""

    verdict: Literal["quiet", "noisy"]
    ratio: Estimate
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """The device: `cores` may be used, `granted` CPUs' worth of time is given (a container's quota); None for what
    the system does not tell."""

    name: str
    cpu: str
    flags: tuple[str, ...]
    int8_target: str
    cores: int
    granted: float
    affinity: str
    governor: str | None
    memory_bytes: int | None
    system: str
    load: float | None


@dataclass(frozen=True)
class Conditions:
    """All that figures depend on beside the machine. A round has `calls_a_round` calls; `spinning` says what
    onnxruntime's waiting threads do."""

    started: str
    python: str
    distill: str
    git: str | None
    packages: dict[str, str]
    spinning: str
    split: str
    examples: int
    examples_sha256: str
    calls: int
    calls_a_round: int


@dataclass(frozen=True)
class BenchReport:
    """One run of the benchmark on one device. `gold` holds the true labels' indices of every example, and `unknown`
    those of the labels that are not known; it is empty if all are. `baseline` is the name of the baseline's row, if
    there is one."""

    machine: Machine
    conditions: Conditions
    noise: Noise
    peaks: tuple[Peak, ...]
    labels: tuple[str, ...]
    gold: Indices
    constant: ConstantBaseline
    rows: tuple[Row, ...]
    unknown: Indices = ()
    baseline: str | None = None

    @property
    def own(self) -> Row:
        """The row that the benchmark is about."""
        return next(row for row in self.rows if row.own)

    def to_json(self) -> dict[str, Any]:
        """A plain table for `read`."""
        return {"schema": SCHEMA, **asdict(self)}


def read(path: Path) -> BenchReport:
    """A report from its JSON file. Raises BenchError for another schema, for one that does not fit it, and for
    figures that none can have."""
    tree = read_json(path, BenchError)
    if not isinstance(tree, dict) or tree.pop("schema", None) != SCHEMA:
        raise BenchError(f"{path}: not a bench report of schema {SCHEMA}; run distill bench again")
    try:
        report = build_dataclass(BenchReport, tree, "report")
        check_report(report)
    except (RecipeError, ValueError) as error:
        raise BenchError(f"{path}: {error}; run distill bench again") from error
    return report


def to_indices(decisions: Decisions) -> Indices:
    """The columns of bool (N, L) that are True, row by row."""
    return tuple(tuple(int(i) for i in np.flatnonzero(row)) for row in decisions)


def to_decisions(indices: Indices, labels: int) -> Decisions:
    """bool (N, labels); the inverse of `to_indices`."""
    decisions = np.zeros((len(indices), labels), dtype=bool)
    for row, columns in enumerate(indices):
        decisions[row, list(columns)] = True
    return decisions


def to_targets(report: BenchReport) -> Targets:
    """float32 (N, L): 1, 0 or, where unknown, NaN."""
    labels = len(report.labels)
    targets = to_decisions(report.gold, labels).astype(np.float32)
    if report.unknown:
        targets[to_decisions(report.unknown, labels)] = np.nan
    return targets


def by_support(quality: Quality) -> list[int]:
    """The labels' places, the most frequent label first."""
    return sorted(range(len(quality.labels)), key=lambda i: -quality.labels[i].support)
