"""The registry of a benchmark's metrics, each a column of the headline tables: what each is called, how it is read
and what it depends on.

The headlines of terminal, Markdown and page, the rules of `--fail-on` and the comparison of two reports are made
from it; `bench/__init__.py` says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.report.types import Row, to_decisions
from distill.scoring.estimate import Estimate
from distill.scoring.hierarchy import fill_ancestors, fill_targets
from distill.scoring.metrics import Targets, bootstrap_draws, weighted_f1

Draws = NDArray[np.float64]
Draw = Callable[[Row, Targets | None, np.random.Generator], Draws | None]

DRAWS = 1000
ENOUGH = 5  # rounds or starts; an interval drawn from fewer is far too narrow


@dataclass(frozen=True)
class Metric:
    """One figure of a variant. `name`, and any of `aliases`, is what rules call it.

    `read` gives the figure of a report's row: with an interval where a table shows one, None where the report lacks
    it, which `missing` explains. `heading` is its column's in the headline, empty for a metric that has none there;
    a column in which no variant has a figure is left out. `unit` is empty for a share in 0..1. Tables show `digits`
    after the point, comparisons `finer` more. Figures that depend on the examples or on the machine can be compared
    on the same ones alone.

    `draws` gives bootstrap values of the figure, (DRAWS,), from a row and the gold targets (N, L); None where there
    is too little to draw from. `change` is for what one row alone does not have: it takes the new row, the old one
    and the number of labels.
    """

    name: str
    title: str
    read: Callable[[Row], Estimate | float | None]
    heading: str
    unit: str
    digits: int
    better: Literal["higher", "lower"] | None
    depends_on: Literal["examples", "machine"] | None
    finer: int = 0
    missing: str = ""
    aliases: tuple[str, ...] = ()
    draws: Draw | None = None
    change: Callable[[Row, Row, int], Estimate] | None = None

    @property
    def label(self) -> str:
        """Its title and unit."""
        return f"{self.title} {self.unit}".strip()

    def value(self, row: Row) -> float | None:
        """The figure of a row without its interval."""
        figure = self.read(row)
        return figure.value if isinstance(figure, Estimate) else figure


def find_metric(name: str) -> Metric | None:
    """The metric that a rule calls by this name."""
    return next((metric for metric in REGISTRY.values() if name in (metric.name, *metric.aliases)), None)


def metric_names() -> list[str]:
    """All that a rule may call a metric, the aliases first."""
    return [*(alias for metric in REGISTRY.values() for alias in metric.aliases), *REGISTRY]


def headline_metrics(rows: Sequence[Row]) -> list[Metric]:
    """The metrics of the headline for these rows."""
    return [m for m in REGISTRY.values() if m.heading and any(m.read(row) is not None for row in rows)]


def _f1(average: Literal[0, 1]) -> Draw:
    """Micro- (0) or macro-F1 (1) over examples drawn with replacement."""

    def draws(row: Row, gold: Targets | None, generator: np.random.Generator) -> Draws | None:
        if gold is None:
            return None
        decided = to_decisions(row.decided, gold.shape[1])
        return weighted_f1(gold, decided, bootstrap_draws(len(gold), DRAWS, generator))[average]

    return draws


def _hierarchical_f1(row: Row, gold: Targets | None, generator: np.random.Generator) -> Draws | None:
    """Over examples drawn with replacement."""
    if gold is None or row.quality.hierarchical_f1 is None:
        return None
    names = tuple(label.name for label in row.quality.labels)
    decided = fill_ancestors(names, to_decisions(row.decided, len(names)))
    return weighted_f1(fill_targets(names, gold), decided, bootstrap_draws(len(gold), DRAWS, generator))[0]


def _percentile(percent: int) -> Draw:
    """A percentile of the headline's calls, over its rounds."""
    return lambda row, gold, generator: _over_rounds(row.timings[0].raw_ms, percent, generator)


def _starts(row: Row, gold: Targets | None, generator: np.random.Generator) -> Draws | None:
    """The median start in s."""
    return _over_rounds([(ms / 1e3,) for ms in row.cold.starts_ms], 50, generator)


def _over_rounds(rounds: Sequence[Sequence[float]], percent: int, generator: np.random.Generator) -> Draws | None:
    """Rounds are drawn whole, with replacement: see `bench.measure.latency.bootstrap_over_rounds`."""
    if len(rounds) < ENOUGH:
        return None
    parts = [np.asarray(part) for part in rounds]
    picks = generator.integers(len(parts), size=(DRAWS, len(parts)))
    return np.array([np.percentile(np.concatenate([parts[i] for i in pick]), percent) for pick in picks])


def _flips(new: Row, old: Row, labels: int) -> Estimate:
    """Share of decisions that differ, its interval over examples."""
    each = (to_decisions(new.decided, labels) != to_decisions(old.decided, labels)).mean(1)
    drawn = bootstrap_draws(len(each), DRAWS, np.random.default_rng(0)) @ each / len(each)
    return Estimate.of(each.mean(), drawn)


def _accuracy(row: Row) -> Estimate | float | None:
    """Of the group of labels that exclude each other; of several, the mean."""
    accuracies = [group.accuracy for group in row.quality.groups or ()]
    if len(accuracies) == 1:
        return accuracies[0]
    return sum(accuracy.value for accuracy in accuracies) / len(accuracies) if accuracies else None


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


_share = partial(Metric, unit="", digits=3, better="higher", depends_on="examples")
_time = partial(Metric, unit="ms", digits=1, finer=1, better="lower", depends_on="machine")
_size = partial(Metric, unit="MB", digits=0, finer=1, better="lower", depends_on="machine")
FEW = "too few calls; give it more --calls"

REGISTRY: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _share(
            "micro_f1",
            "micro-F1",
            lambda row: row.quality.micro_f1,
            "micro-F1 [95 %]",
            aliases=("f1",),
            draws=_f1(0),
        ),
        _share("macro_f1", "macro-F1", lambda row: row.quality.macro_f1, "macro-F1 [95 %]", draws=_f1(1)),
        _share(
            "hierarchical_f1",
            "hierarchical F1",
            lambda row: row.quality.hierarchical_f1,
            "hierarchical F1",
            missing="its labels are none of a known hierarchy",
            draws=_hierarchical_f1,
        ),
        _share(
            "accuracy",
            "accuracy",
            _accuracy,
            "accuracy [95 %]",
            missing="its labels have no groups of which one is decided",
        ),
        _share("micro_ap", "micro-AP", lambda row: row.quality.micro_ap, ""),
        _share("ece", "ECE", lambda row: row.quality.ece, "", better="lower"),
        _share("flips", "flips", lambda row: None, "", better="lower", change=_flips),
        _time("p50", "p50", lambda row: row.timings[0].p50, "p50 ms [95 %]", draws=_percentile(50)),
        _time("p90", "p90", lambda row: _value(row.timings[0].p90), "p90", missing=FEW, draws=_percentile(90)),
        _time("p99", "p99", lambda row: _value(row.timings[0].p99), "p99", missing=FEW, draws=_percentile(99)),
        _time(
            "cold",
            "cold",
            lambda row: row.cold.total_ms / 1e3,
            "cold s",
            unit="s",
            digits=2,
            finer=0,
            draws=_starts,
        ),
        _size("peak", "peak", lambda row: row.memory.peak_bytes / 1e6, "peak MB"),
        _size("steady", "steady", lambda row: row.memory.steady.rss_bytes / 1e6, ""),
        _size("disk", "disk", lambda row: row.size_bytes / 1e6, "disk MB", digits=1, finer=0, depends_on=None),
        _time(
            "joules",
            "energy a call",
            lambda row: row.joules,
            "J a call",
            unit="J",
            digits=3,
            finer=0,
            missing="no energy counters could be read there",
        ),
    )
}
