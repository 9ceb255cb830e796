"""Probabilities to decisions, the one place for all that decides: thresholds of labels, and the most probable label
of a group. Fits the thresholds, cross-fits them, and carries them over to another model's outputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError, RecipeError
from distill.core.recipe import Objective
from distill.core.schema import build_dataclass
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.data.stratify import stratified_folds
from distill.scoring.calibration import fit_group_temperature, fit_platt, sigmoid64
from distill.scoring.metrics import (
    LARGEST,
    SMALLEST,
    Decisions,
    Probabilities,
    Targets,
    f1_from_counts,
    logit,
    macro_f1,
    micro_f1,
)
from distill.scoring.probabilities import log_probabilities, temper
from distill.scoring.selective import AnswerCut, answer_confidence

Rates = NDArray[np.floating[Any]]  # (L,) in [0, 1]

FOLDS = 5
SEED = 13  # of the folds; fixed, so that a metric is the same wherever it is computed
MAX_SWEEPS = 20


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
    None. `answer_cuts` say how sure an answer must be to hold a precision; none where they were not fitted."""

    values: tuple[float | None, ...]
    objective: Objective
    fitted_on: FittedOn
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)
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

    def to_json(self) -> dict[str, Any]:
        """A JSON table for `from_json`, with `groups` and `answer_cuts` where there are any."""
        optional = ("groups", "answer_cuts")
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
    each calibrated probability counting as that share of a positive. After Lewis 1995, "Evaluating and Optimizing
    Autonomous Text Classification Systems", and Koyejo et al. 2015, "Consistent Multilabel Classification". Only
    the calibration sees the labels, so that thresholds do not overfit the few positives of rare labels, and it
    standardises each label's logits, so that their scale and shift change no decision. All labels are optimised
    together by coordinate ascent. Those of a group are decided already, by the greatest probability, and what they
    are expected to get right counts in the objective too. Raises DataError if there are no examples or no
    positives.
    """
    if not (targets == 1).any():
        raise DataError(f"thresholds cannot be fitted on {split}: it has no positive labels")
    expected, cuts = np.empty(targets.shape), np.full(targets.shape[1], np.nan)
    for columns in groups.values():
        own = probabilities[:, columns]
        temperature = fit_group_temperature(log_probabilities(own), targets[:, columns])
        expected[:, columns] = temper(own, temperature)
    apart = np.setdiff1d(np.arange(len(cuts)), [place for columns in groups.values() for place in columns])
    if len(apart):
        # Contiguous, as they are without groups: sums in another order end in another last bit.
        logits = np.ascontiguousarray(logit(probabilities)[:, apart])
        known = np.ascontiguousarray(targets[:, apart])
        calibration = fit_platt(logits, known, None if rates is None else rates[apart])
        expected[:, apart] = calibration.apply(logits)
        cuts[apart] = calibration.invert(_search(expected, expected, objective, groups)[apart])
    fitted_on = FittedOn(split, int((~np.isnan(targets)).any(1).sum()))
    return Thresholds(_to_thresholds(cuts), objective, fitted_on, dict(groups))


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
    for held_out, rest in _folds(targets):
        fitted = fit_thresholds(probabilities[rest], targets[rest], objective, "folds", rates, groups)
        decisions[held_out] = fitted.apply(applied_to[held_out])
    return decisions


def objective_value(targets: Targets, decisions: Decisions, objective: Objective) -> float:
    """The value of the objective, in [0, 1]."""
    return float(_objective(micro_f1(targets, decisions), macro_f1(targets, decisions), objective))


def _folds(targets: Targets) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    parts = stratified_folds(targets, min(FOLDS, len(targets)), SEED)
    everything = np.arange(len(targets))
    return [(part, np.setdiff1d(everything, part)) for part in parts]


@dataclass(frozen=True)
class _Options:
    """The candidate thresholds of one label, descending float (C,), and (TP, FP, FN) at each, float (3, C)."""

    cuts: NDArray[np.float64]
    table: NDArray[np.float64]


def _search(
    scores: NDArray[Any], expected: NDArray[Any], objective: Objective, groups: GroupColumns = NO_GROUPS
) -> NDArray[np.float64]:
    """The threshold of each label, float (L,), that maximises the objective, by coordinate ascent.

    scores and expected are (N, L); `expected` in [0, 1] is the share of a positive that each pair counts as. A
    label of a group is no choice: it is predicted where its score is the greatest of the group's."""
    options = [_options(scores[:, i], expected[:, i]) for i in range(scores.shape[1])]
    for columns in groups.values():
        best = scores[:, columns].argmax(axis=1)
        for place, column in enumerate(columns):
            options[column] = _decided(expected[:, column], best == place)
    chosen = _best_shared_cut(options, objective)
    for _ in range(MAX_SWEEPS):
        if not _sweep(options, chosen, objective):
            break
    return np.array([option.cuts[index] for option, index in zip(options, chosen, strict=True)])


def _options(scores: NDArray[Any], expected: NDArray[Any]) -> _Options:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    ends = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]])  # equal scores stay together
    above = np.concatenate([[1.0], ranked])[ends]
    below = np.concatenate([ranked, [0.0]])[ends]
    tp = np.concatenate([[0.0], np.cumsum(expected[order], dtype=np.float64)])[ends]
    return _Options((above + below) / 2, np.stack([tp, ends - tp, tp[-1] - tp]))


def _decided(expected: NDArray[Any], predicted: NDArray[np.bool_]) -> _Options:
    """The one option of a label whose decisions (N,) are made."""
    tp = expected[predicted].sum()
    return _Options(np.ones(1), np.array([[tp], [predicted.sum() - tp], [expected.sum() - tp]]))


def _best_shared_cut(options: list[_Options], objective: Objective) -> list[int]:
    """The start of the search: each label's candidate for the best threshold that all labels share, from a grid."""
    grid = np.linspace(0.02, 0.98, 97)
    indices = np.stack([np.searchsorted(-option.cuts, -grid, side="right") - 1 for option in options]).clip(0)
    tables = np.stack([option.table[:, index] for option, index in zip(options, indices, strict=True)])
    micro = f1_from_counts(*tables.sum(0))
    macro = f1_from_counts(*tables.swapaxes(0, 1)).mean(0)
    best = int(_objective(micro, macro, objective).argmax())
    return [int(index[best]) for index in indices]


def _objective(micro: Any, macro: Any, objective: Objective) -> Any:
    if objective == "micro":
        return micro
    return macro if objective == "macro" else (micro + macro) / 2


def _sweep(options: list[_Options], chosen: list[int], objective: Objective) -> bool:
    """Optimise one label after the other, in place; whether anything improved."""
    improved = False
    total = sum(option.table[:, index] for option, index in zip(options, chosen, strict=True))
    for label, option in enumerate(options):
        rest = total - option.table[:, chosen[label]]
        micro = f1_from_counts(*(rest[:, None] + option.table))
        macro = f1_from_counts(*option.table) / len(options)  # the other labels' share is a constant here
        value = _objective(micro, macro, objective)
        best = int(value.argmax())
        if value[best] > value[chosen[label]] + 1e-12:
            total = rest + option.table[:, best]
            chosen[label] = best
            improved = True
    return improved
