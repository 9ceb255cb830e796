"""How good a run or a Bundle is on a split. Knows outputs and thresholds, no time or memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.quality.leakage import known
from bench.quality.task import Task
from bench.report.types import Bin, Difference
from bench.runtimes.serving import Served, probabilities
from distill.core.terminal import output
from distill.data.dataset import Example, without_images, without_texts
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import (
    Decisions,
    Probabilities,
    Quality,
    Targets,
    bootstrap_draws,
    measure_decisions,
    measure_probabilities,
    weighted_f1,
)
from distill.scoring.tables import label_table, quality_table
from distill.scoring.thresholds import cross_fitted

BINS = 10  # of a reliability diagram
DRAWS = 2000

Decided = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Judged:
    """`honest` is the figure to quote; `thresholds` says where the thresholds come from.

    When a model's thresholds were fitted on the very split that is judged, `honest` uses thresholds
    fitted on other rows of it (5 folds), and `flattering` the model's own; otherwise the latter is None.
    `text_alone` and `image_alone` are as honest, with the other half of every example withheld. `decided` are the
    indices of the labels that `honest` measures.
    """

    honest: Quality
    flattering: Quality | None
    text_alone: Quality
    image_alone: Quality
    thresholds: str
    reliability: tuple[Bin, ...]
    decided: Decided


def judge(served: Served, task: Task) -> Judged:
    """Run every example of the task through the model and measure its decisions. Raises ImageError and
    RunError."""
    names, thresholds = served.labels.names, served.thresholds
    targets = served.labels.encode([example.labels for example in task.examples])
    both = probabilities(served, task.examples)
    met = known(served.folder, thresholds, task)

    def decide(p: Probabilities) -> Decisions:
        if met.fitted:
            return cross_fitted(both, targets, thresholds.objective, applied_to=p)
        return thresholds.apply(p)

    def honest(p: Probabilities) -> Quality:
        return measure_decisions(names, targets, p, decide(p), thresholds.array())

    def half(examples: Sequence[Example]) -> Quality:
        return honest(probabilities(served, examples))

    return Judged(
        honest=honest(both),
        flattering=measure_probabilities(names, targets, both, thresholds.array()) if met.fitted else None,
        text_alone=half(without_images(task.examples)),
        image_alone=half(without_texts(task.examples)),
        thresholds=met.source(thresholds, task.split),
        reliability=reliability(targets, both),
        decided=indices(decide(both)),
    )


def reliability(targets: Targets, p: Probabilities) -> tuple[Bin, ...]:
    """Equal-width bins over all (example, label) pairs that have any (Niculescu-Mizil and Caruana 2005)."""
    probability, gold = p.ravel().astype(np.float64), targets.ravel() > 0.5
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            mean_probability=float(probability[place == i].mean()),
            frequency=float(gold[place == i].mean()),
            count=int((place == i).sum()),
        )
        for i in range(BINS)
        if (place == i).any()
    )


def indices(decisions: Decisions) -> Decided:
    """The columns that are True, row by row."""
    return tuple(tuple(int(i) for i in np.flatnonzero(row)) for row in decisions)


def difference(reference: str, targets: Targets, theirs: Decided, ours: Decided) -> Difference:
    """Ours minus theirs on the same examples, bootstrapped over examples in pairs."""
    a, b = (from_indices(decided, targets.shape[1]) for decided in (theirs, ours))
    draws = bootstrap_draws(len(targets), DRAWS, np.random.default_rng(0))
    whole = np.ones((1, len(targets)))
    figures = []
    for value, drawn in zip(
        (y - x for x, y in zip(weighted_f1(targets, a, whole), weighted_f1(targets, b, whole), strict=True)),
        (y - x for x, y in zip(weighted_f1(targets, a, draws), weighted_f1(targets, b, draws), strict=True)),
        strict=True,
    ):
        figures.append(Estimate.of(value[0], drawn))
    return Difference(reference, figures[0], figures[1], int((a != b).sum()), a.size)


def from_indices(decided: Decided, labels: int) -> Decisions:
    """bool (N, labels); the inverse of `indices`."""
    decisions = np.zeros((len(decided), labels), dtype=bool)
    for row, columns in enumerate(decided):
        decisions[row, list(columns)] = True
    return decisions


def show(judged: Judged, task: Task) -> None:
    """Print the tables of one split, beside the constant predictor."""
    rows = [(f"{task.split}, thresholds {judged.thresholds}", judged.honest)]
    if judged.flattering is not None:
        rows.append((f"{task.split}, thresholds fitted on it (flatters)", judged.flattering))
    halves = (("text", judged.text_alone), ("image", judged.image_alone))
    rows += [(f"{task.split}, {name} alone", quality) for name, quality in halves]
    output.print(quality_table("Quality", rows, task.constant))
    output.print(label_table(judged.honest))
