"""Probabilities to decisions, the one place for all that decides: thresholds of labels, and the most probable label
of a group. Fits the thresholds, cross-fits them, and carries them over to another model's outputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError, RecipeError
from distill.core.settings.objective import Objective
from distill.core.settings.schema import build_dataclass
from distill.data.dividing.stratify import stratified_folds
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.calibration import Calibration, fit_calibration, sigmoid64
from distill.scoring.metrics import (
    LARGEST,
    SMALLEST,
    Decisions,
    Probabilities,
    Targets,
    logit,
    macro_f1,
    micro_f1,
)
from distill.scoring.search import best_constant_f1, search_cuts
from distill.scoring.selective import AnswerCut, answer_confidence

Rates = NDArray[np.floating[Any]]  # (L,) in [0, 1]

FOLDS = 5
SEED = 13  # of the folds; fixed, so that a metric is the same wherever it is computed
MICRO_SHARES: dict[Objective, float] = {"micro": 1.0, "macro": 0.0, "balanced": 0.5}
MICRO_STEP = 0.1


@dataclass(frozen=True)
class FittedOn:
    """The split and the number of its labelled examples that thresholds were fitted on. If they were carried over
    to the outputs of another model (`carry_over`): its name, and the number of examples that this was done with."""

    split: str
    examples: int
    carried_to: str = ""
    carried_with: int = 0

    def __str__(self) -> str:
        carried = (
            f", carried over to {self.carried_to} with {self.carried_with} examples" if self.carried_to else ""
        )
        return f"{self.split}, {self.examples} examples{carried}"


@dataclass(frozen=True)
class Thresholds:
    """Label i is predicted if its probability is >= values[i]. Fitted for `objective`. Of each of the `groups`, the
    label with the greatest probability is predicted, the first of equal ones; their labels have no threshold,
    None. `calibration` is the one that the probabilities have been through already, inside the model. `answer_cuts`
    say how sure an answer must be to hold a precision; none where they were not fitted."""

    values: tuple[float | None, ...]
    objective: Objective
    fitted_on: FittedOn
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)
    calibration: Calibration | None = None
    answer_cuts: tuple[AnswerCut, ...] = ()

    def array(self) -> NDArray[np.float32]:
        """float32 (L,), each in (0, 1), or NaN for a label of a group."""
        return np.asarray(self.values, dtype=np.float32)

    def apply(self, probabilities: Probabilities) -> Decisions:
        """Decisions bool (N, L) from probabilities (N, L), or (L,) from (L,)."""
        decisions: Decisions = probabilities >= self.array()
        for columns in self.groups.values():
            best = probabilities[..., columns].argmax(axis=-1)
            decisions[..., columns] = np.arange(len(columns)) == best[..., None]
        return decisions

    def raw(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """Probabilities (N, L) or (L,) of this model as they were before its calibration."""
        if self.calibration is None:
            return probabilities.astype(np.float64)
        return self.calibration.uncalibrate(probabilities, self.groups)

    def to_json(self) -> dict[str, Any]:
        """A JSON table for `from_json`, with `groups`, `calibration` and `answer_cuts` where there are any."""
        optional = ("groups", "calibration", "answer_cuts")
        return {name: value for name, value in asdict(self).items() if value or name not in optional}

    @classmethod
    def from_json(cls, tree: Any) -> Thresholds:
        """The thresholds of such a table. Raises RecipeError for a missing, unknown or mistyped key, and for values
        that are no thresholds."""
        tree = {"groups": {}, "answer_cuts": [], **tree} if isinstance(tree, dict) else tree
        thresholds = build_dataclass(cls, tree, "thresholds")
        outside = [value for value in thresholds.values if value is not None and not 0 < value < 1]
        if outside:
            raise RecipeError(f"a threshold of {outside[0]} is not between 0 and 1")
        without = [place for place, value in enumerate(thresholds.values) if value is None]
        if without != sorted(place for columns in thresholds.groups.values() for place in columns):
            raise RecipeError("thresholds: each label needs a threshold or a place in one of the groups")
        c = thresholds.calibration
        if c and thresholds.values and not (len(c.slopes) == len(c.offsets) == len(thresholds.values)):
            raise RecipeError("thresholds: the calibration needs a slope and an offset for each label")
        if c and min(c.slopes, default=1) <= 0:
            raise RecipeError("thresholds: a slope of the calibration is not above 0")
        for cut in thresholds.answer_cuts:
            cut.check()
        fitted_on = thresholds.fitted_on
        if min(fitted_on.examples, fitted_on.carried_with) < 0:
            raise RecipeError(f"thresholds fitted on {fitted_on}: a number of examples is below 0")
        return thresholds


def fit_thresholds(
    probabilities: Probabilities,
    targets: Targets,
    objective: Objective,
    split: str,
    rates: Rates | None = None,
    groups: GroupColumns = NO_GROUPS,
) -> Thresholds:
    """Thresholds that maximise `objective`: "micro" or "macro" F1, or their mean, "balanced".

    probabilities and targets are (N, L); `rates` (L,) are the labels' rates in a larger sample, see `fit_platt`.
    The probabilities are calibrated, and the thresholds maximise the objective that is expected if they are true,
    each calibrated probability counting as that share of a positive; for "balanced", no further from micro-F1 than
    where always predicting the same labels would have more of it. After Lewis 1995, "Evaluating and Optimizing
    Autonomous Text Classification Systems", and Koyejo et al. 2015, "Consistent Multilabel Classification". Only
    the calibration sees the labels, so that thresholds do not overfit the few positives of rare labels, and it
    standardises each label's logits, so that their scale and shift change no decision. All labels are optimised
    together by coordinate ascent. Those of a group are decided already, by the greatest probability, and what they
    are expected to get right counts in the objective too. Raises DataError if there are no examples or no
    positives.
    """
    if not (targets == 1).any():
        raise DataError(f"thresholds cannot be fitted on {split}: it has no positive labels")
    calibration = fit_calibration(probabilities, targets, rates, groups)
    expected = calibration.calibrate(probabilities, groups)
    values = values_of(_best_cuts(expected, objective, groups), calibration, groups)
    fitted_on = FittedOn(split, int((~np.isnan(targets)).any(1).sum()))
    return Thresholds(values, objective, fitted_on, dict(groups))


def values_of(
    calibrated: NDArray[np.float64], calibration: Calibration, groups: GroupColumns
) -> tuple[float | None, ...]:
    """Thresholds (L,) of calibrated probabilities as those of the probabilities before; None for labels of
    groups."""
    cuts = calibration.undo(logit(calibrated))
    cuts[[place for columns in groups.values() for place in columns]] = np.nan
    return _to_thresholds(cuts)


def _best_cuts(expected: NDArray[np.float64], objective: Objective, groups: GroupColumns) -> NDArray[np.float64]:
    """Thresholds (L,) of calibrated probabilities (N, L) for the objective. Where those for "balanced" would give
    up so much micro-F1 that always predicting the same labels had more, micro-F1 gets a greater share, just
    enough."""
    share, floor = MICRO_SHARES[objective], best_constant_f1(expected) if objective == "balanced" else 0.0
    cuts = search_cuts(expected, expected, share, groups)
    while cuts.micro_f1 < floor and share < 1:
        share = min(share + MICRO_STEP, 1.0)
        cuts = search_cuts(expected, expected, share, groups)
    return cuts.values


def _to_thresholds(logits: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Logits (L,) to probabilities; those that round to 0 or 1, where a threshold decides nothing, stay inside.
    None for NaN, a label without a threshold."""
    values = np.clip(sigmoid64(logits), SMALLEST, LARGEST)
    return tuple(None if np.isnan(v) else float(v) for v in values)


def carry_over(
    thresholds: Thresholds, before: NDArray[np.floating], after: NDArray[np.floating], to: str
) -> Thresholds:
    """Carry thresholds over from one model's outputs to another's, such as from fp32 to int8; `to` names the other.

    before, after: `logit` of the probabilities (N, L) of the two models on the same N examples, at least 1. These
    may be training examples, because only the difference of the outputs matters. Each label's threshold is mapped
    by the least-squares line after = slope * before + offset; groups have none, and stay. The answer cuts are
    mapped by the line of the answers' confidences, as logits.
    """
    values = _to_thresholds(_map(before, after, logit(np.array(thresholds.values, dtype=np.float64))))
    fitted_on = replace(thresholds.fitted_on, carried_to=to, carried_with=len(before))
    moved = replace(thresholds, values=values, fitted_on=fitted_on)
    sure_before, sure_after = _logit_confidence(thresholds, before), _logit_confidence(moved, after)
    cuts = tuple(
        replace(cut, confidence=float(sigmoid64(_map(sure_before, sure_after, logit(np.array(cut.confidence))))))
        if cut.confidence  # there is one, and it leaves some answers out
        else cut
        for cut in thresholds.answer_cuts
    )
    return replace(moved, answer_cuts=cuts)


def _map(before: NDArray[np.floating], after: NDArray[np.floating], values: NDArray[Any]) -> NDArray[Any]:
    """Values by the least-squares line from each column of `before` to that of `after`."""
    centred = before - before.mean(0)
    slope = (centred * (after - after.mean(0))).sum(0) / np.maximum((centred**2).sum(0), 1e-12)
    mapped: NDArray[Any] = slope * values + (after.mean(0) - slope * before.mean(0))
    return mapped


def _logit_confidence(thresholds: Thresholds, logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """How sure each answer is, as a logit (N,)."""
    probabilities = sigmoid64(logits).astype(np.float32)
    return logit(answer_confidence(probabilities, thresholds.apply(probabilities)))


def cross_fitted(
    probabilities: Probabilities,
    targets: Targets,
    objective: Objective,
    applied_to: Probabilities | None = None,
    rates: Rates | None = None,
    groups: GroupColumns = NO_GROUPS,
) -> Decisions:
    """Decisions bool (N, L), where each row is decided with thresholds fitted on other rows only (5 folds).

    Their F1 is an honest estimate; F1 on the rows that thresholds were fitted on is optimistic. `applied_to` are
    other probabilities (N, L) for the same rows, to be decided with the same thresholds; `rates` and
    `groups` are as in `fit_thresholds`.
    """
    applied_to = probabilities if applied_to is None else applied_to
    decisions = np.zeros(targets.shape, dtype=bool)
    for held_out, rest in rows_by_fold(targets):
        fitted = fit_thresholds(probabilities[rest], targets[rest], objective, "folds", rates, groups)
        decisions[held_out] = fitted.apply(applied_to[held_out])
    return decisions


def cross_calibrated(
    probabilities: Probabilities,
    targets: Targets,
    applied_to: Probabilities | None = None,
    rates: Rates | None = None,
    groups: GroupColumns = NO_GROUPS,
) -> Probabilities:
    """Probabilities float32 (N, L), where each row is calibrated on other rows only, in the folds of
    `cross_fitted`, whose arguments it takes. What was calibrated on these very rows has an AP over all labels, and
    an ECE, that flatter; a calibration before it changes nothing, as each label's logits are standardised."""
    applied_to = probabilities if applied_to is None else applied_to
    calibrated = np.empty(targets.shape, dtype=np.float32)
    for held_out, rest in rows_by_fold(targets):
        fitted = fit_calibration(probabilities[rest], targets[rest], rates, groups)
        calibrated[held_out] = fitted.calibrate(applied_to[held_out], groups)
    return calibrated


def objective_value(targets: Targets, decisions: Decisions, objective: Objective) -> float:
    """The value of the objective, in [0, 1]."""
    share = MICRO_SHARES[objective]
    return share * micro_f1(targets, decisions) + (1 - share) * macro_f1(targets, decisions)


def rows_by_fold(targets: Targets) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each fold of cross-fitting, the rows that it holds out and all others."""
    parts = stratified_folds(targets, min(FOLDS, len(targets)), SEED)
    everything = np.arange(len(targets))
    return [(part, np.setdiff1d(everything, part)) for part in parts]
