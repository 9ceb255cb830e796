"""A model beside a baseline whose answers are known, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from judged import answered, rows_of
from sklearn.metrics import f1_score

from distill.scoring.answers import Answers
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.calibration import label_rates
from distill.scoring.thresholds import FittedOn, Thresholds, cross_fitted


def known(rows: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, and probabilities of a better model and a worse one."""
    generator = np.random.default_rng(4)
    targets = (generator.random((rows, 3)) < 0.4).astype(np.float32)
    noisy = (np.clip(targets * 0.4 + 0.3 + generator.normal(0, s, targets.shape), 0.01, 0.99) for s in (0.1, 0.4))
    return targets, *(p.astype(np.float32) for p in noisy)


def test_its_row_and_the_differences_are_scikit_learns_on_the_same_rows() -> None:
    targets, good, poor = known()
    rows = rows_of(targets, "test")
    ours, theirs = (answered(rows, p, "balanced") for p in (good, poor))
    against = BaselineAnswers("the baseline (n-grams)", rows, theirs, 0.01).against("the model", ours)
    decisions = [p >= a.thresholds.array() for p, a in ((good, ours), (poor, theirs))]
    micro, macro = ([f1_score(targets, d, average=how) for d in decisions] for how in ("micro", "macro"))
    assert against.quality.micro_f1.value == pytest.approx(micro[1])
    assert against.gain["micro"].value == pytest.approx(micro[0] - micro[1])
    assert against.gain["balanced"].value == pytest.approx((micro[0] - micro[1] + macro[0] - macro[1]) / 2)
    assert against.verdict.outcome == "BEATS"
    assert against.thresholds == "fitted on dev, 80 examples"
    assert against.sentence.startswith("the model BEATS the baseline (n-grams): balanced F1 +0.")
    assert "on test (80 examples)" in against.sentence


def test_thresholds_that_ship_decide_except_on_the_rows_that_they_were_fitted_on() -> None:
    targets, _, p = known()
    thresholds = Thresholds((0.4, 0.5, 0.6), "micro", FittedOn("dev", 80))
    shipped = Answers.of(rows_of(targets, "test"), p, thresholds, targets)
    assert (shipped.decisions == (p >= np.float32([0.4, 0.5, 0.6]))).all()
    assert shipped.origin(rows_of(targets, "test")) == "fitted on dev, 80 examples"
    own = Answers.of(rows_of(targets, "dev"), p, thresholds, targets)
    assert (own.decisions == cross_fitted(p, targets, "micro", rates=label_rates(targets))).all()
    assert own.origin(rows_of(targets, "dev")) == "cross-fitted on dev"
