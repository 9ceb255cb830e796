"""The results of a benchmark, typed, and their JSON, from which tables, pages and comparisons are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.report.bounds import check_report
from bench.report.measured import ColdStart, Memory, Peak, Stage, Stream, Timing, Work
from distill.core.errors import BenchError, RecipeError
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.core.untrusted import short_repr
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import ConstantBaseline, Decisions, Quality, Targets
from distill.scoring.verdict import Verdict

SCHEMA = 6
READABLE = (
    5,
    SCHEMA,
)  # what schema 6 added may be missing: models alone, streams, the speed of memory, image sizes

# Of every example, the places of the labels that it has, or that are decided for it.
Indices = tuple[tuple[int, ...], ...]


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
    labels decided for, which `quality` measures. `streams` are None in reports of earlier versions.
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
    streams: tuple[Stream, ...] | None = None

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

    @property
    def int8(self) -> str:
        """What int8 products run on: the target, and AMX where the processor has it, whose peak is another."""
        return f"{self.int8_target}, AMX" if "amx_int8" in self.flags else self.int8_target


@dataclass(frozen=True)
class ImageSizes:
    """Medians over the images that are asked for: the longer side in pixels, and the file."""

    side_px: float
    kb: float


@dataclass(frozen=True)
class Conditions:
    """All that figures depend on beside the machine. A round has `calls_a_round` calls; `spinning` says what
    onnxruntime's waiting threads do. `images` is None where no example has one, and in earlier reports."""

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
    images: ImageSizes | None = None


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
    """A report from its JSON file. Raises BenchError for a schema that is not READABLE, for one that does not fit
    it, and for figures that none can have."""
    tree = read_json(path, BenchError)
    schema = tree.pop("schema", None) if isinstance(tree, dict) else None
    if schema not in READABLE:
        known = " or ".join(map(str, READABLE))
        told = f"its schema is {short_repr(schema)}, expected {known}"
        raise BenchError(f"{path}: not a bench report that this distill reads, {told}; run distill bench again")
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
