"""What micro-F1 costs in macro-F1, and the other way: both as the objective moves from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.calibration import fit_calibration
from distill.scoring.metrics import Probabilities, Targets, macro_f1, micro_f1
from distill.scoring.search import search_cuts
from distill.scoring.thresholds import FittedOn, Rates, Thresholds, rows_by_fold, values_of

SHARES = tuple(step / 10 for step in range(11))


@dataclass(frozen=True)
class TradeOff:
    """Micro- and macro-F1 in [0, 1] of thresholds that maximise micro_share * micro-F1 + (1 - micro_share) *
    macro-F1."""

    micro_share: float
    micro_f1: float
    macro_f1: float


def trade_off(
    probabilities: Probabilities, targets: Targets, rates: Rates | None = None, groups: GroupColumns = NO_GROUPS
) -> tuple[TradeOff, ...]:
    """For shares from 0, macro-F1 alone, to 1, micro-F1 alone, from probabilities and targets (N, L).

    Each row is decided by thresholds that were fitted on other rows (`cross_fitted`), without the limit that
    `fit_thresholds` puts to the balanced objective."""
    decisions = np.zeros((len(SHARES), *targets.shape), dtype=bool)
    for held_out, rest in rows_by_fold(targets):
        calibration = fit_calibration(probabilities[rest], targets[rest], rates, groups)
        expected = calibration.calibrate(probabilities[rest], groups)
        for place, share in enumerate(SHARES):
            values = values_of(search_cuts(expected, expected, share, groups).values, calibration, groups)
            thresholds = Thresholds(values, "balanced", FittedOn("folds", len(rest)), dict(groups))
            decisions[place, held_out] = thresholds.apply(probabilities[held_out])
    pairs = zip(SHARES, decisions, strict=True)
    return tuple(TradeOff(share, micro_f1(targets, made), macro_f1(targets, made)) for share, made in pairs)
