"""What a model is worth where it answers only the posts that it is sure of, and asks a person about the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.scoring.metrics import Decisions, Probabilities, Targets, micro_f1
from distill.scoring.selective import (
    PRECISIONS,
    RISK,
    answer_confidence,
    answer_precision,
    clopper_pearson_low,
    fit_cut,
)
from distill.scoring.thresholds import Thresholds

STEPS = 20


@dataclass(frozen=True)
class Step:
    """The share `coverage` of posts with the surest answers, at least of this `confidence`: their micro-F1, and
    the mean precision of their answers, None where nothing is known of them."""

    coverage: float
    confidence: float
    micro_f1: float
    precision: float | None


@dataclass(frozen=True)
class Held:
    """A cut of the model's own that is to hold the precision `stated`, None where it has none: the share of the
    posts here that it answers, and their precision, None where it answers none."""

    stated: float
    confidence: float | None
    coverage: float
    precision: float | None


@dataclass(frozen=True)
class CertainYes:
    """The least probability from which on a label holds the precision `stated` here, None where none does, and the
    number of examples that are at least as probable."""

    stated: float
    probability: float | None
    examples: int


@dataclass(frozen=True)
class CertainLabel:
    """A label's certain yes for each stated precision."""

    name: str
    support: int
    certain: tuple[CertainYes, ...]


@dataclass(frozen=True)
class Selective:
    """The curve from the surest posts to all, the model's own cuts on these posts, and each label's certain yes,
    which is fitted here, with a bound that fails with probability `risk`."""

    steps: tuple[Step, ...]
    held: tuple[Held, ...]
    labels: tuple[CertainLabel, ...]
    risk: float


def selective(
    names: Sequence[str], targets: Targets, p: Probabilities, decisions: Decisions, thresholds: Thresholds
) -> Selective:
    """Of decisions (N, L) that are counted."""
    confidence, values = answer_confidence(p, decisions), answer_precision(targets, decisions)
    order = np.argsort(-confidence, kind="stable")
    steps = []
    for number in range(1, STEPS + 1):
        rows = order[: max(1, round(number * len(order) / STEPS))]
        f1 = micro_f1(targets[rows], decisions[rows])
        steps.append(Step(len(rows) / len(order), float(confidence[rows[-1]]), f1, _mean(values[rows])))
    held = []
    for cut in thresholds.answer_cuts:
        is_sure = np.full(len(p), False) if cut.confidence is None else confidence >= cut.confidence
        held.append(Held(cut.precision, cut.confidence, float(is_sure.mean()), _mean(values[is_sure])))
    labels = tuple(_certain(name, targets[:, i], p[:, i]) for i, name in enumerate(names))
    return Selective(tuple(steps), tuple(held), labels, RISK)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _certain(name: str, targets: Targets, p: Probabilities) -> CertainLabel:
    known = ~np.isnan(targets)
    y, scores = targets[known], p[known]
    certain = []
    for stated in PRECISIONS:
        cut = fit_cut(scores, y, stated, clopper_pearson_low)
        certain.append(CertainYes(stated, cut, 0 if cut is None else int((scores >= cut).sum())))
    return CertainLabel(name, int(y.sum()), tuple(certain))
