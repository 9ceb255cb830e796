"""Metrics of multi-label decisions and probabilities, on numpy arrays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import ArgumentError
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.data.hierarchy import is_hierarchical
from distill.scoring.accuracy import GroupQuality, measure_groups
from distill.scoring.estimate import Estimate
from distill.scoring.estimate import bootstrap_draws as bootstrap_draws
from distill.scoring.hierarchy import fill_ancestors, fill_targets

Targets = NDArray[np.float32]  # (N, L) in {0, 1}, NaN where unknown: such pairs count in no metric
Decisions = NDArray[np.bool_]  # (N, L)
Probabilities = NDArray[np.float32]  # (N, L) in [0, 1]

SMALLEST, LARGEST = 1e-37, 1 - 2.0**-24  # float32's probabilities next to 0 and 1


@dataclass(frozen=True)
class LabelQuality:
    """The quality of one label: `support` is the number of its positives, `predicted` of the decisions for it. The
    label of a group has no threshold."""

    name: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    average_precision: float | None
    threshold: float | None


@dataclass(frozen=True)
class Quality:
    """The quality of decisions on a set of examples: `examples` counts those of which any label is known.

    `macro_f1` gives a label without positives and decisions an F1 of 0 (scikit-learn's zero_division=0),
    `macro_f1_empty_as_one` gives it 1 (zero_division=1, as the SemEval-2021 Task 6 scorer does). `ece` is the
    expected calibration error. `hierarchical_f1` is None for labels without a hierarchy, `groups` for labels
    without groups.
    """

    examples: int
    micro_f1: Estimate
    macro_f1: Estimate
    macro_f1_empty_as_one: float
    micro_ap: float
    ece: float
    labels: tuple[LabelQuality, ...]
    hierarchical_f1: float | None = None
    groups: tuple[GroupQuality, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON table, with `groups` where there are any."""
        return {name: value for name, value in asdict(self).items() if name != "groups" or value}


@dataclass(frozen=True)
class ConstantBaseline:
    """The baseline to beat: it always predicts the labels `names`, of each group the most frequent one in training,
    and of the others the k most frequent ones with the k that has the best micro-F1 there."""

    names: tuple[str, ...]
    micro_f1: float
    macro_f1: float
    macro_f1_empty_as_one: float
    groups: tuple[GroupQuality, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON table, with `groups` where there are any."""
        return {name: value for name, value in asdict(self).items() if name != "groups" or value}


def sigmoid(logits: NDArray[np.float32]) -> Probabilities:
    """Logistic function, float32, without overflow; small probabilities keep their precision."""
    tail = np.exp(-np.abs(logits))
    result: Probabilities = (np.where(logits >= 0, 1.0, tail) / (1.0 + tail)).astype(np.float32)
    return result


def logit(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Inverse of `sigmoid`, float64; probabilities are clipped to [SMALLEST, LARGEST]."""
    clipped = np.clip(probabilities.astype(np.float64), SMALLEST, LARGEST)
    result: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return result


def positive_rates(targets: Targets) -> NDArray[np.float64]:
    """The share of positives among each label's known targets (N, L), float64 (L,); 0 where none is known."""
    rates: NDArray[np.float64] = np.nansum(targets, axis=0) / np.maximum((~np.isnan(targets)).sum(0), 1)
    return rates


def confusion_counts(targets: Targets, decisions: Decisions) -> NDArray[np.int64]:
    """True positives, false positives and false negatives of each label, int64 (3, L). Raises ArgumentError unless
    both are of one shape (N, L) and decisions are bool."""
    targets, decisions = _same_shape(targets, decisions)
    if decisions.dtype != bool:
        raise ArgumentError(f"decisions must be bool, such as probabilities >= thresholds; got {decisions.dtype}")
    return np.stack([part.sum(0) for part in _pairs(targets, decisions)]).astype(np.int64)


def _pairs(targets: Targets, decisions: Decisions) -> tuple[Decisions, Decisions, Decisions]:
    """Which pairs are true positives, false positives and false negatives, bool (N, L) each; an unknown target is
    none of them."""
    return (targets == 1) & decisions, (targets == 0) & decisions, (targets == 1) & ~decisions


def f1_from_counts(tp: Any, fp: Any, fn: Any, empty: float = 0.0) -> Any:
    """F1 = 2 TP / (2 TP + FP + FN), elementwise; `empty` where all three are 0."""
    denominator = 2 * np.asarray(tp) + fp + fn
    return np.where(denominator > 0, 2 * np.asarray(tp) / np.maximum(denominator, 1), empty)


def micro_f1(targets: Targets, decisions: Decisions) -> float:
    """F1 of the summed counts of all labels; 0 without positives and decisions."""
    return float(f1_from_counts(*confusion_counts(targets, decisions).sum(1)))


def macro_f1(targets: Targets, decisions: Decisions, empty: float = 0.0) -> float:
    """Mean of the F1 of the labels that are known of any example; `empty` is the F1 of one without positives and
    decisions."""
    tp, fp, fn = confusion_counts(targets, decisions)
    return float(f1_from_counts(tp, fp, fn, empty)[_known_labels(np.asarray(targets))].mean())


def _known_labels(targets: Targets) -> NDArray[np.bool_]:
    """Which labels (L,) are known of any example; all where none is, whose F1 is 0 then."""
    unknown = np.isnan(targets).all(axis=0)
    return np.asarray(unknown if unknown.all() else ~unknown)


def hierarchical_f1(names: tuple[str, ...], targets: Targets, decisions: Decisions) -> float:
    """Micro-F1 of targets and decisions with the labels above each one filled in: hF of Kiritchenko et al. 2006,
    "Learning and Evaluation in the Presence of Class Hierarchies", as SemEval-2024 Task 4 counts it, where the root
    is no label. 0 without positives and decisions."""
    return micro_f1(fill_targets(names, targets), fill_ancestors(names, decisions))


def average_precision(targets: NDArray[np.float32], probabilities: NDArray[np.float32]) -> float | None:
    """Average precision of targets and probabilities (N,): the area under the steps of the precision-recall curve,
    with ties as one step, as in scikit-learn. None without positives."""
    known = ~np.isnan(targets)
    targets, probabilities = targets[known], probabilities[known]
    positives = float(targets.sum())
    if positives == 0:
        return None
    order = np.argsort(-probabilities, kind="stable")
    ranked, scores = targets[order], probabilities[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(ranked)[last_of_tie]
    precision = hits / (last_of_tie + 1)
    recall_steps = np.diff(np.concatenate([[0.0], hits / positives]))
    return float((precision * recall_steps).sum())


def micro_ap(targets: Targets, probabilities: Probabilities) -> float:
    """Average precision over all (example, label) pairs; 0 without positives. Raises ArgumentError unless both are
    of one shape (N, L), targets are 0, 1 or NaN, and probabilities are finite."""
    targets, probabilities = _same_shape(targets, probabilities)
    return average_precision(targets.ravel(), probabilities.ravel()) or 0.0


def macro_ap(targets: Targets, probabilities: Probabilities) -> float:
    """Mean average precision of the labels with positives; 0 if there are none. Raises ArgumentError as
    `micro_ap`."""
    targets, probabilities = _same_shape(targets, probabilities)
    values = [average_precision(targets[:, i], probabilities[:, i]) for i in range(targets.shape[1])]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0


def _same_shape(targets: Any, others: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    targets, others = np.asarray(targets), np.asarray(others)
    if targets.ndim != 2 or targets.shape != others.shape:
        raise ArgumentError(
            f"targets and predictions must be of one shape (N, L); got {targets.shape}, {others.shape}"
        )
    strange = targets[(targets != 0) & (targets != 1) & (targets == targets)]  # NaN differs from itself
    if strange.size:
        raise ArgumentError(f"targets must be 0, 1 or, where unknown, NaN; got {strange.flat[0]}")
    if not np.isfinite(others).all():
        raise ArgumentError("predictions must be finite; they hold NaN or infinity")
    return targets.astype(np.float32), others


def expected_calibration_error(targets: Targets, probabilities: Probabilities, bins: int = 15) -> float:
    """ECE: mean |frequency - mean probability| over equal-width bins of all (example, label) pairs, weighted by bin
    size (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3)."""
    known = ~np.isnan(targets)
    p, y = probabilities[known].astype(np.float64), targets[known]
    index = np.minimum((p * bins).astype(int), bins - 1)
    size = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, p, bins) - np.bincount(index, y, bins))
    return float(gap.sum() / max(1, size.sum()))


def bootstrap_f1(
    targets: Targets, decisions: Decisions, rounds: int = 1000, seed: int = 0
) -> tuple[Estimate, Estimate]:
    """Micro- and macro-F1, with percentile bootstrap intervals over examples."""
    weights = bootstrap_draws(len(targets), rounds, np.random.default_rng(seed))
    micro, macro = weighted_f1(targets, decisions, weights)
    return Estimate.of(micro_f1(targets, decisions), micro), Estimate.of(macro_f1(targets, decisions), macro)


def weighted_f1(
    targets: Targets, decisions: Decisions, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Micro- and macro-F1 in R rounds, (R,) each, where weights (R, N) are how often each example counts: drawing
    with replacement is weighting, so one matrix product gives the counts of all rounds."""
    tp, fp, fn = (weights @ part for part in _pairs(targets, decisions))
    macro = f1_from_counts(tp, fp, fn)[:, _known_labels(targets)].mean(1)
    return f1_from_counts(tp.sum(1), fp.sum(1), fn.sum(1)), macro


def measure_probabilities(
    names: tuple[str, ...],
    targets: Targets,
    probabilities: Probabilities,
    thresholds: NDArray[np.float32],
) -> Quality:
    """The quality of the decisions probabilities >= thresholds, from targets and probabilities (N, L) and
    thresholds (L,)."""
    return measure_decisions(names, targets, probabilities, probabilities >= thresholds, thresholds)


def measure_decisions(
    names: tuple[str, ...],
    targets: Targets,
    probabilities: Probabilities,
    decisions: Decisions,
    thresholds: NDArray[np.float32],
    groups: GroupColumns = NO_GROUPS,
) -> Quality:
    """As `measure_probabilities`, for given decisions, such as those of `Thresholds.apply`, or cross-fitted ones,
    and for labels in `groups`, which have no threshold, NaN."""
    tp, fp, fn = confusion_counts(targets, decisions)
    f1 = f1_from_counts(tp, fp, fn)
    labels = tuple(
        LabelQuality(
            name=name,
            support=int(tp[i] + fn[i]),
            predicted=int(tp[i] + fp[i]),
            precision=float(tp[i] / max(1, tp[i] + fp[i])),
            recall=float(tp[i] / max(1, tp[i] + fn[i])),
            f1=float(f1[i]),
            average_precision=average_precision(targets[:, i], probabilities[:, i]),
            threshold=None if np.isnan(thresholds[i]) else float(thresholds[i]),
        )
        for i, name in enumerate(names)
    )
    micro, macro = bootstrap_f1(targets, decisions)
    return Quality(
        examples=int((~np.isnan(targets)).any(1).sum()),
        micro_f1=micro,
        macro_f1=macro,
        macro_f1_empty_as_one=macro_f1(targets, decisions, empty=1.0),
        micro_ap=micro_ap(targets, probabilities),
        ece=expected_calibration_error(targets, probabilities),
        labels=labels,
        hierarchical_f1=hierarchical_f1(names, targets, decisions) if is_hierarchical(names) else None,
        groups=measure_groups(targets, decisions, groups),
    )


def constant_baseline(
    names: tuple[str, ...], train: Targets, targets: Targets, groups: GroupColumns = NO_GROUPS
) -> ConstantBaseline:
    """Choose the baseline's labels on the targets `train`, and measure it on `targets`; both (N, L)."""
    counts = np.nansum(train, axis=0)
    order = np.argsort(-counts, kind="stable")
    always = np.zeros(len(names), dtype=bool)
    for columns in groups.values():
        always[columns[int(counts[list(columns)].argmax())]] = True
    grouped = {place for columns in groups.values() for place in columns}
    apart = [place for place in order if place not in grouped]
    candidates = []
    for k in range(0 if groups else 1, len(apart) + 1):
        mask = always.copy()
        mask[apart[:k]] = True
        candidates.append((micro_f1(train, np.broadcast_to(mask, train.shape)), mask))
    _, best = max(candidates, key=lambda pair: pair[0])
    decisions = np.broadcast_to(best, targets.shape)
    return ConstantBaseline(
        names=tuple(names[i] for i in order if best[i]),
        micro_f1=micro_f1(targets, decisions),
        macro_f1=macro_f1(targets, decisions),
        macro_f1_empty_as_one=macro_f1(targets, decisions, empty=1.0),
        groups=measure_groups(targets, decisions, groups),
    )
