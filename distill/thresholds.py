"""Per-label decision thresholds. Knows probabilities, not models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.errors import DataError
from distill.metrics import Decisions, Probabilities, Targets, f1_from_counts, logit, macro_f1, micro_f1, sigmoid
from distill.recipe import Objective, build
from distill.split import stratified_folds

FOLDS = 5
REPEATS = 8  # on 63 real memes, 3 chose one strength for fp32 outputs and another for nearly equal int8 ones
SEED = 13  # of the folds; one for all, so that a figure is the same wherever it is computed
MAX_SWEEPS = 20
# How many positives a label needs for its own threshold to weigh as much as the global one; the last
# stands for "the global threshold only". Cross-fitting chooses among them.
STRENGTHS = (0.0, 3.0, 10.0, 30.0, 100.0, 1e9)


@dataclass(frozen=True)
class Thresholds:
    """A probability >= values[i] decides for label i. Says what it was fitted for and on what.

    `shrinkage` is the strength that was chosen of STRENGTHS.
    """

    values: tuple[float, ...]
    objective: Objective
    global_value: float
    shrinkage: float
    fitted_on: str

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
        return build(cls, tree, "thresholds")


def fit(
    probabilities: Probabilities, targets: Targets, objective: Objective, fitted_on: str, seed: int = SEED
) -> Thresholds:
    """Thresholds that serve `objective`, as far as this many examples can carry them.

    All labels are searched together by coordinate ascent on the objective: "micro" and "macro" F1, or
    their mean, "balanced". Each label's own threshold is then drawn toward the best single threshold,
    in logits, by n / (n + s) with n its positives; the strength s is the one with the best objective on
    rows that it was not fitted on (5 folds, 8 times). probabilities, targets: (N, L).
    Raises DataError when there are no examples or no positives at all.
    """
    if len(targets) == 0 or not targets.any():
        raise DataError(f"thresholds cannot be fitted on {fitted_on}: it has no positive labels")
    strength = _choose_strength(probabilities, targets, objective, seed)
    shared, own = _search(probabilities, targets, objective)
    values = _shrink(shared, own, targets, strength)
    return Thresholds(tuple(float(v) for v in values), objective, shared, strength, fitted_on)


def moved(thresholds: Thresholds, before: NDArray[np.float32], after: NDArray[np.float32], to: str) -> Thresholds:
    """Carry thresholds over from one file's outputs to another's, such as from fp32 to int8.

    before, after: logits (N, L) of the two on the same examples, which may be training ones: only how the
    outputs moved matters. Each label's logits are mapped by the line that fits best, after = a before + b, and
    its threshold along with them.
    """
    centred = before - before.mean(0)
    slope = (centred * (after - after.mean(0))).sum(0) / np.maximum((centred**2).sum(0), 1e-12)
    offset = after.mean(0) - slope * before.mean(0)
    values = sigmoid((slope * logit(thresholds.array()) + offset).astype(np.float32))
    where = f"{thresholds.fitted_on}, moved to {to} by {len(before)} examples"
    return replace(thresholds, values=tuple(float(v) for v in values), fitted_on=where)


def cross_fitted(
    probabilities: Probabilities,
    targets: Targets,
    objective: Objective,
    applied_to: Probabilities | None = None,
    seed: int = SEED,
) -> Decisions:
    """Decisions bool (N, L), each row's made with thresholds fitted on other rows only (5 folds).

    F1 of these says what the thresholds are worth; F1 on the rows that they were fitted on flatters.
    `applied_to` are other outputs on the same rows (N, L), decided with the same thresholds.
    """
    applied_to = probabilities if applied_to is None else applied_to
    decisions = np.zeros(targets.shape, dtype=bool)
    for held_out, rest in _folds(targets, seed):
        fitted = fit(probabilities[rest], targets[rest], objective, "folds", seed)
        decisions[held_out] = fitted.apply(applied_to[held_out])
    return decisions


def score(targets: Targets, decisions: Decisions, objective: Objective) -> float:
    """The value of the objective, in [0, 1]."""
    return float(_objective(micro_f1(targets, decisions), macro_f1(targets, decisions), objective))


def _choose_strength(p: Probabilities, targets: Targets, objective: Objective, seed: int) -> float:
    if len(targets) < 2 * FOLDS:
        return STRENGTHS[-1]
    totals = np.zeros(len(STRENGTHS))
    for repeat in range(REPEATS):
        decisions = np.zeros((len(STRENGTHS), *targets.shape), dtype=bool)
        for held_out, rest in _folds(targets, seed + repeat):
            shared, own = _search(p[rest], targets[rest], objective)
            for index, strength in enumerate(STRENGTHS):
                values = _shrink(shared, own, targets[rest], strength)
                decisions[index, held_out] = p[held_out] >= values
        totals += [score(targets, part, objective) for part in decisions]
    best_last = len(STRENGTHS) - 1 - int(np.argmax(totals[::-1]))  # among equals, the strongest shrinkage
    return STRENGTHS[best_last]


def _folds(targets: Targets, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    parts = stratified_folds(targets, min(FOLDS, len(targets)), seed)
    everything = np.arange(len(targets))
    return [(part, np.setdiff1d(everything, part)) for part in parts]


def _shrink(shared: float, own: NDArray[np.float64], targets: Targets, strength: float) -> NDArray[np.float32]:
    positives = targets.sum(0).astype(np.float64)
    weight = positives / np.maximum(positives + strength, 1e-9)
    mixed = logit(np.array(shared)) * (1 - weight) + logit(own) * weight
    values: NDArray[np.float32] = (1 / (1 + np.exp(-mixed))).astype(np.float32)
    return values


def _search(p: Probabilities, targets: Targets, objective: Objective) -> tuple[float, NDArray[np.float64]]:
    """The best single threshold, and the best one per label found from there by coordinate ascent."""
    labels = targets.shape[1]
    pooled = np.unique(np.quantile(p.astype(np.float64), np.linspace(0.0, 1.0, 401)))
    tables = np.stack([_table(p[:, i], targets[:, i], pooled) for i in range(labels)])  # (L, 3, C)
    values = _objective(f1_from_counts(*tables.sum(0)), f1_from_counts(*tables.swapaxes(0, 1)).mean(0), objective)
    shared = float(np.clip(pooled[int(values.argmax())], 1e-6, 1 - 1e-6))
    options = [_options(p[:, i], targets[:, i]) for i in range(labels)]
    # Start every label at its cut nearest to the shared threshold.
    chosen = [int(np.abs(logit(cuts) - logit(np.array(shared))).argmin()) for cuts, _ in options]
    for _ in range(MAX_SWEEPS):
        if not _sweep(options, chosen, shared, objective):
            break
    return shared, np.array([cuts[index] for (cuts, _), index in zip(options, chosen, strict=True)])


def _options(p: Probabilities, y: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distinct cuts of one label, ascending, and (tp, fp, fn) at each: (C,), (3, C)."""
    levels = np.unique(p.astype(np.float64))
    middles = (levels[1:] + levels[:-1]) / 2
    cuts = np.concatenate([[levels[0] / 2], middles, [(1 + levels[-1]) / 2]])
    return cuts, _table(p, y, cuts)


def _table(p: Probabilities, y: NDArray[np.float32], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(tp, fp, fn) of one label for the decisions p >= cut: (3, C)."""
    positives, negatives = np.sort(p[y > 0.5]), np.sort(p[y <= 0.5])
    tp = len(positives) - np.searchsorted(positives, cuts)
    fp = len(negatives) - np.searchsorted(negatives, cuts)
    return np.stack([tp, fp, len(positives) - tp]).astype(np.float64)


def _objective(micro: Any, macro: Any, objective: Objective) -> Any:
    if objective == "micro":
        return micro
    return macro if objective == "macro" else (micro + macro) / 2


def _sweep(
    options: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    chosen: list[int],
    shared: float,
    objective: Objective,
) -> bool:
    """Improve one label after the other, in place; whether anything improved."""
    improved = False
    total = sum(table[:, index] for (_, table), index in zip(options, chosen, strict=True))
    for label, (cuts, table) in enumerate(options):
        rest = total - table[:, chosen[label]]
        micro = f1_from_counts(*(rest[:, None] + table))
        macro = f1_from_counts(*table) / len(options)  # the other labels' share is a constant here
        value = _objective(micro, macro, objective)
        best = np.flatnonzero(value >= value.max() - 1e-12)
        nearest = int(best[np.abs(logit(cuts[best]) - logit(np.array(shared))).argmin()])
        if value[nearest] > value[chosen[label]] + 1e-12:
            total = rest + table[:, nearest]
            chosen[label] = nearest
            improved = True
    return improved
