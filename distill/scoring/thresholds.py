"""Per-label decision thresholds. Knows probabilities, not models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.recipe import Objective
from distill.core.schema import build_dataclass
from distill.data.stratify import stratified_folds
from distill.scoring.calibration import calibrate
from distill.scoring.metrics import (
    Decisions,
    Probabilities,
    Targets,
    f1_from_counts,
    logit,
    macro_f1,
    micro_f1,
    sigmoid,
)

FOLDS = 5
SEED = 13  # of the folds; one for all, so that a figure is the same wherever it is computed
MAX_SWEEPS = 20


@dataclass(frozen=True)
class FittedOn:
    """How many examples of which split thresholds were fitted on, and, where they were carried over to another
    file's outputs (`move`), to which and by how many examples."""

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
    """A probability >= values[i] decides for label i; fitted for `objective`."""

    values: tuple[float, ...]
    objective: Objective
    fitted_on: FittedOn

    def array(self) -> NDArray[np.float32]:
        """float32 (L,), each in (0, 1)."""
        return np.asarray(self.values, dtype=np.float32)

    def apply(self, probabilities: Probabilities) -> Decisions:
        """bool (N, L) from probabilities (N, L)."""
        return probabilities >= self.array()

    def to_json(self) -> dict[str, Any]:
        """A plain table for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Any) -> Thresholds:
        """Raises RecipeError for a missing, unknown or mistyped key."""
        return build_dataclass(cls, tree, "thresholds")


def fit_thresholds(probabilities: Probabilities, targets: Targets, objective: Objective, split: str) -> Thresholds:
    """Thresholds that serve `objective`: "micro" or "macro" F1, or their mean, "balanced". Both (N, L).

    The probabilities are calibrated, and the thresholds are those with the best objective when every
    calibrated probability counts as that share of a positive. After Lewis 1995, "Evaluating and Optimizing
    Autonomous Text Classification Systems", and Koyejo et al. 2015, "Consistent Multilabel Classification".
    Counting probabilities in place of labels is what keeps 22 thresholds from fitting the luck of a few
    positives; only the calibration sees the labels. All labels are searched together by coordinate ascent.
    Raises DataError when there are no examples or no positives at all.
    """
    if len(targets) == 0 or not targets.any():
        raise DataError(f"thresholds cannot be fitted on {split}: it has no positive labels")
    calibration = calibrate(probabilities, targets)
    expected = calibration.apply(probabilities)
    values = calibration.invert(_search(expected, expected, objective))
    return Thresholds(tuple(float(v) for v in values), objective, FittedOn(split, len(targets)))


def carry_over(
    thresholds: Thresholds, before: NDArray[np.float32], after: NDArray[np.float32], to: str
) -> Thresholds:
    """Carry thresholds over from one file's outputs to another's, such as from fp32 to int8.

    before, after: logits (N, L) of the two on the same examples, which may be training ones: only how the
    outputs moved matters. Each label's logits are mapped by the line that fits best, after = a before + b, and
    its threshold along with them.
    """
    centred = before - before.mean(0)
    slope = (centred * (after - after.mean(0))).sum(0) / np.maximum((centred**2).sum(0), 1e-12)
    offset = after.mean(0) - slope * before.mean(0)
    values = sigmoid((slope * logit(thresholds.array()) + offset).astype(np.float32))
    values = values.clip(1e-6, 1 - 1e-6)  # as in calibration: far logits round to 0 or 1, which decide nothing
    fitted_on = replace(thresholds.fitted_on, carried_to=to, carried_with=len(before))
    return replace(thresholds, values=tuple(float(v) for v in values), fitted_on=fitted_on)


def cross_fitted(
    probabilities: Probabilities,
    targets: Targets,
    objective: Objective,
    applied_to: Probabilities | None = None,
) -> Decisions:
    """Decisions bool (N, L), each row's made with thresholds fitted on other rows only (5 folds).

    F1 of these says what the thresholds are worth; F1 on the rows that they were fitted on flatters.
    `applied_to` are other outputs on the same rows (N, L), decided with the same thresholds.
    """
    applied_to = probabilities if applied_to is None else applied_to
    decisions = np.zeros(targets.shape, dtype=bool)
    for held_out, rest in _folds(targets):
        fitted = fit_thresholds(probabilities[rest], targets[rest], objective, "folds")
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
    """One label's cuts, descending float (C,), and (tp, fp, fn) at each, float (3, C)."""

    cuts: NDArray[np.float64]
    table: NDArray[np.float64]


def _search(scores: NDArray[Any], expected: NDArray[Any], objective: Objective) -> NDArray[np.float64]:
    """The cut of each label, float (L,), that serves the objective when `expected` in [0, 1] says how much of a
    positive each pair is; scores and expected (N, L)."""
    options = [_options(scores[:, i], expected[:, i]) for i in range(scores.shape[1])]
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


def _best_shared_cut(options: list[_Options], objective: Objective) -> list[int]:
    """Every label at its cut nearest below the best single one of a grid."""
    grid = np.linspace(0.02, 0.98, 97)
    places = np.stack([np.searchsorted(-option.cuts, -grid, side="right") - 1 for option in options]).clip(0)
    tables = np.stack([option.table[:, place] for option, place in zip(options, places, strict=True)])
    micro = f1_from_counts(*tables.sum(0))
    macro = f1_from_counts(*tables.swapaxes(0, 1)).mean(0)
    best = int(_objective(micro, macro, objective).argmax())
    return [int(place[best]) for place in places]


def _objective(micro: Any, macro: Any, objective: Objective) -> Any:
    if objective == "micro":
        return micro
    return macro if objective == "macro" else (micro + macro) / 2


def _sweep(options: list[_Options], chosen: list[int], objective: Objective) -> bool:
    """Improve one label after the other, in place; whether anything improved."""
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
