"""Verdicts against hand-made intervals, scipy's standard errors and what more examples really do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import bootstrap, norm
from sklearn.metrics import f1_score

from distill.core.arguments import check_margin
from distill.core.errors import ArgumentError
from distill.scoring.bootstrap import PairedBootstrap
from distill.scoring.verdict import DETECTABLE, Verdict


def decided(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, and the decisions of two models, of which the second is a little better."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((rows, 3)) < 0.4).astype(np.float32)
    ours, theirs = (
        np.where(generator.random(targets.shape) < share, 1 - targets, targets) for share in (0.2, 0.25)
    )
    return targets, ours == 1, theirs == 1


def verdict_of(targets: np.ndarray, ours: np.ndarray, theirs: np.ndarray, margin: float = 0.01) -> Verdict:
    draws = PairedBootstrap(len(targets), 1)
    a, b = (draws.metric_draws(targets, [d.astype(np.float32)], [d]) for d in (ours, theirs))
    return Verdict.of(a, b, "micro", len(targets), margin)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.002, 0.03, "a BEATS b: micro F1 +0.016 [+0.003, +0.029] on test; a difference of"),
        (-0.005, 0.008, "a is NO BETTER than b, and NOT WORSE by more than 0.01: micro F1 +0.002"),
        (-0.03, 0.004, "a is NO BETTER than b, and may be worse by more than 0.01: micro F1 -0.013"),
        (-0.05, -0.02, "a is NO BETTER than b, and is worse by more than 0.01: micro F1 -0.035"),
        (-0.005, 0.029, "a against b is INCONCLUSIVE, and NOT WORSE by more than 0.01: micro F1 +0.012"),
        (-0.03, 0.03, "a against b is INCONCLUSIVE, and may be worse by more than 0.01: micro F1 +0.000"),
    ],
)
def test_the_words_follow_from_where_the_interval_lies(low: float, high: float, words: str) -> None:
    draws = np.concatenate([[(low + high) / 2], np.linspace(low, high, 2000)])
    verdict = Verdict.of({"micro": 1 + draws}, {"micro": np.ones_like(draws)}, "micro", 100)
    assert verdict.sentence("a", "b", "test").startswith(words)
    assert verdict.not_worse == (low > -0.01)
    assert (verdict.needed is None) == (verdict.outcome != "INCONCLUSIVE")
    enough = Verdict.of({"micro": 1 + draws}, {"micro": np.ones_like(draws)}, "micro", 100, margin=0.5)
    assert enough.needed is None


def test_what_could_have_been_shown_is_2_8_standard_errors_as_scipy_has_them() -> None:
    targets, ours, theirs = decided(120, 1)

    def difference(rows: np.ndarray) -> float:
        rows = rows.astype(int)
        scores = (f1_score(targets[rows], d[rows], average="micro") for d in (ours, theirs))
        return float(next(scores) - next(scores))

    again = bootstrap(
        (np.arange(120),),
        difference,
        n_resamples=400,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(3),
    )
    assert pytest.approx(2.8, abs=0.005) == DETECTABLE
    expected = (norm.ppf(0.975) + norm.ppf(0.8)) * again.standard_error
    assert verdict_of(targets, ours, theirs).detectable == pytest.approx(expected, rel=0.1)


def test_as_many_examples_as_are_said_to_be_needed_show_a_difference_of_the_margin() -> None:
    """The same examples again and again stand in for more of their kind."""
    targets, ours, theirs = decided(50, 2)
    few = verdict_of(targets, ours, theirs, margin=0.04)
    assert few.outcome == "INCONCLUSIVE"
    assert few.needed is not None
    times = round(few.needed / 50)
    assert times > 5
    more = verdict_of(*(np.tile(part, (times, 1)) for part in (targets, ours, theirs)), margin=0.04)
    assert more.detectable == pytest.approx(0.04, rel=0.1)
    about = re.search(r"and one of 0\.04 takes about ([0-9,]+) labelled examples$", few.power())
    assert about is not None
    assert few.needed <= int(about[1].replace(",", "")) < 1.1 * few.needed  # two digits of it are shown


@pytest.mark.parametrize("margin", [0, 1, -0.01, float("nan"), "0.01", True])
def test_a_margin_that_is_no_difference_of_f1_is_refused(margin: float) -> None:
    with pytest.raises(ArgumentError, match="margin must be a difference of F1 between 0 and 1"):
        check_margin(margin)
