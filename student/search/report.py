"""What a search finds, typed: costs, a row for each candidate, and the report that search.json holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import __version__
from distill.core.settings.objective import Objective
from distill.scoring.bootstrap import ArmMetrics
from distill.scoring.estimate import Estimate
from distill.scoring.verdict import Verdict

MB = 1e6


@dataclass(frozen=True)
class Cost:
    """What a Bundle costs on this machine: the median milliseconds of a post, from image file and text to labels,
    its bytes on disk, and the largest memory of a process that runs it, in bytes."""

    ms: Estimate
    size_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Measurement:
    """Costs by the names of candidates, measured in turns in one run, and its conditions; `noise` says why the
    times are not to be quoted, a sentence each."""

    costs: dict[str, Cost]
    machine: str
    cpu: str
    cores: int
    threads: int
    calls: int
    examples: int
    started: str
    packages: dict[str, str]
    noise: tuple[str, ...]


Measure = Callable[[Mapping[str, Path], int], Measurement]  # Bundles by the names of candidates, and calls of each


@dataclass(frozen=True)
class Limits:
    """The most that a student may cost, None for no limit."""

    max_ms: float | None = None
    max_mb: float | None = None

    def over(self, cost: Cost, certain: bool, slack: float = 1.0) -> str:
        """Which limit a cost is over, in words; "" for none. Where it has to be `certain`, the whole interval, and
        by more than `slack` times the milliseconds."""
        ms = cost.ms.low if certain else cost.ms.value
        if self.max_ms is not None and ms > slack * self.max_ms:
            return f"over --max-ms {self.max_ms:g}: {cost.ms:.2f} ms"
        if self.max_mb is not None and cost.size_bytes > self.max_mb * MB:
            return f"over --max-mb {self.max_mb:g}: {cost.size_bytes / MB:.1f} MB"
        return ""

    def sentences(self) -> tuple[str, ...]:
        """What they are, if there are any."""
        named = [("--max-ms", self.max_ms), ("--max-mb", self.max_mb)]
        words = [f"{name} {value:g}" for name, value in named if value is not None]
        return (f"Limits: {', '.join(words)}.",) if words else ()


@dataclass(frozen=True)
class Row:
    """A candidate: `settings` and `precision` say what it is, `untrained` what an untrained one costs, `folds` on
    how many it was judged last, with its F1 in the objective and its metrics there, and `out` why it is out, ""
    for one that was trained on everything. Of these, `cost` is the trained Bundle's, `verdict` judges it against
    the best, and `run` and `bundle` are its folders, inside that of the search."""

    name: str
    settings: dict[str, Any]
    precision: str
    untrained: Cost | None = None
    folds: int = 0
    f1: Estimate | None = None
    gain: Estimate | None = None
    metrics: ArmMetrics | None = None
    out: str = ""
    cost: Cost | None = None
    verdict: Verdict | None = None
    run: str | None = None
    bundle: str | None = None

    @property
    def known_cost(self) -> Cost | None:
        """The trained Bundle's, or else the untrained one's."""
        return self.cost or self.untrained


@dataclass(frozen=True)
class Recommendation:
    """The candidate `name` and the reason, a sentence each; None where all that were measured are over a limit.
    `not_worse` names all that may be worse than `best` by no more than `max_drop`, which itself is one of them."""

    name: str | None
    best: str | None
    not_worse: tuple[str, ...]
    max_drop: float
    reason: tuple[str, ...]


@dataclass(frozen=True)
class SearchReport:
    """Everything that a search has found so far; `recommendation` is None until it is finished. `examples` is the
    size of the training split, on which all are judged out of fold."""

    objective: Objective
    examples: int
    folds: int
    seed: int
    limits: Limits
    max_f1_drop: float
    rows: tuple[Row, ...]
    untrained: Measurement | None = None
    trained: Measurement | None = None
    recommendation: Recommendation | None = None

    @property
    def chosen(self) -> Row | None:
        """The row of the recommended candidate."""
        name = None if self.recommendation is None else self.recommendation.name
        return next((row for row in self.rows if row.name == name), None)

    @property
    def caveat(self) -> str:
        """How far a choice among many can be believed."""
        return (
            f"The best of {len(self.rows)} flatters, and so does a choice among them, which no interval here makes "
            "good: judge the recommended one on a test split."
        )

    def to_json(self) -> dict[str, Any]:
        """The content of search.json."""
        measured = "out of fold on the training split by the teacher's folds, thresholds cross-fitted"
        return {"distill": __version__, "measured": measured, **asdict(self), "caveat": self.caveat}
