"""Answers and questions: confidences and cuts against hand-computed cases, scipy, and fresh posts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import beta, binom

from distill.core.errors import RecipeError
from distill.data.labels import LabelSet
from distill.scoring.evaluation import SplitOutputs, fit_and_evaluate
from distill.scoring.metrics import logit, sigmoid
from distill.scoring.selective import (
    PRECISIONS,
    AnswerCut,
    answer_confidence,
    answer_precision,
    clopper_pearson_low,
    fit_answer_cuts,
    fit_cut,
    hoeffding_low,
    least_confidence,
)
from distill.scoring.thresholds import FittedOn, Thresholds, carry_over

NAN = np.nan


def posts(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of three labels and targets drawn from them."""
    generator = np.random.default_rng(seed)
    p = sigmoid(generator.normal(0, 3, (rows, 3)).astype(np.float32))
    return p, (generator.random(p.shape) < p).astype(np.float32)


def test_an_answer_is_as_sure_as_its_labels_are_probable_or_none_is_true() -> None:
    p = np.array([[0.9, 0.7, 0.1], [0.2, 0.1, 0.5]], dtype=np.float32)
    decisions = np.array([[True, True, False], [False, False, False]])
    assert answer_confidence(p, decisions) == pytest.approx([0.8, 0.8 * 0.9 * 0.5])


def test_an_answers_precision_is_the_share_of_its_labels_that_are_true() -> None:
    decisions = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    targets = np.array(
        [[1, 0, 1], [1, NAN, 0], [0, 0, 0], [0, 1, NAN], [0, NAN, 0], [NAN, 1, 1], [0, 0, 1]], dtype=np.float32
    )
    np.testing.assert_array_equal(answer_precision(targets, decisions), [0.5, 1, 1, 0, NAN, NAN, 0])


@pytest.mark.parametrize(("right", "of"), [(29, 29), (95, 100), (3, 10), (1, 1), (0, 7), (1600, 1700)])
@pytest.mark.parametrize("risk", [0.05, 0.004])
def test_the_bound_of_a_rate_is_the_quantile_of_the_beta_distribution(right: int, of: int, risk: float) -> None:
    expected = beta.ppf(risk, right, of - right + 1) if right else 0.0
    assert clopper_pearson_low(right, of, risk) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("total", "count"), [(18.5, 20), (50.0, 60), (29.0, 29), (0.0, 5)])
def test_the_bound_of_a_mean_solves_hoeffdings_inequality_and_is_wider_than_that_of_a_rate(
    total: float, count: int
) -> None:
    low, mean = hoeffding_low(total, count, 0.05), total / count
    if 0 < mean < 1:
        kl = lambda m: mean * np.log(mean / m) + (1 - mean) * np.log((1 - mean) / (1 - m))  # noqa: E731
        assert low == pytest.approx(brentq(lambda m: count * kl(m) - np.log(20), 1e-9, mean), abs=1e-9)
    assert low <= clopper_pearson_low(int(total), count, 0.05) + 1e-9 or total % 1
    assert binom.sf(np.ceil(total) - 1, count, low) <= 0.05 + 1e-9 or low == 0


def test_a_cut_lies_where_the_bound_still_holds_by_hand() -> None:
    """The 63 surest of 126 are right and no other: the first try of the 7 is 63 rows, all right, which hold up to
    (0.05 / 7) ** (1 / 63) = 0.9245; more rows do not hold 0.9, so that the cut is between rows 63 and 64."""
    scores = np.linspace(1, 0.01, 126)
    values = (np.arange(126) < 63).astype(float)
    assert fit_cut(scores, values, 0.9, clopper_pearson_low) == pytest.approx(
        (scores[62] + scores[63]) / 2, abs=0.03
    )
    assert fit_cut(scores, values, 0.95, clopper_pearson_low) is None


def test_all_answers_hold_where_all_are_right_and_none_where_posts_are_too_few() -> None:
    scores = np.linspace(0.2, 0.9, 200)
    assert fit_cut(scores, np.ones(200), 0.95, hoeffding_low) == 0.0
    assert fit_cut(scores[:20], np.ones(20), 0.95, hoeffding_low) is None
    assert fit_cut(scores[:0], np.ones(0), 0.8, hoeffding_low) is None


def test_equally_sure_answers_stay_together() -> None:
    scores, values = np.repeat([0.9, 0.5], 100), np.repeat([1.0, 0.0], 100)
    assert fit_cut(scores, values, 0.9, hoeffding_low) == pytest.approx(0.7)
    values[50:150] = values[149:49:-1]  # half of each are right now
    assert fit_cut(scores, values, 0.9, hoeffding_low) is None


def test_cuts_hold_their_precision_on_fresh_posts_as_often_as_they_say() -> None:
    fresh_p, fresh_y = posts(20_000, 99)
    fresh = fresh_p >= 0.4
    sure, right = answer_confidence(fresh_p, fresh), answer_precision(fresh_y, fresh)
    broken, answered = 0, []
    for seed in range(60):
        p, y = posts(600, seed)
        for cut in fit_answer_cuts(p, y, p >= 0.4)[:2]:
            answered.append(cut.coverage)
            broken += cut.confidence is not None and right[sure >= cut.confidence].mean() < cut.precision
    assert broken <= 0.05 * 120 + 3 * np.sqrt(0.05 * 0.95 * 120)
    assert np.mean(answered) > 0.3  # and is no idle promise


def test_thresholds_are_fitted_with_cuts_that_travel_in_json() -> None:
    p, y = posts(400, 1)
    outputs = SplitOutputs("dev", LabelSet(("a", "b", "c")), p, y)
    thresholds = fit_and_evaluate(outputs, "balanced", y).thresholds
    assert [cut.precision for cut in thresholds.answer_cuts] == list(PRECISIONS)
    assert Thresholds.from_json(thresholds.to_json()) == thresholds
    before = {name: value for name, value in thresholds.to_json().items() if name != "answer_cuts"}
    assert Thresholds.from_json(before).answer_cuts == ()
    assert "answer_cuts" not in Thresholds.from_json(before).to_json()
    wrong = before | {"answer_cuts": [{"precision": 0.9, "confidence": 1.2, "coverage": 0.1}]}
    with pytest.raises(RecipeError, match=r"not in 0\.\.1"):
        Thresholds.from_json(wrong)


def test_a_cut_is_carried_over_to_outputs_of_another_scale_and_answers_the_same_posts() -> None:
    p, _ = posts(300, 2)
    cuts = (AnswerCut(0.8, 0.7, 0.5), AnswerCut(0.9, 0.0, 1.0), AnswerCut(0.95, None, 0.0))
    thresholds = Thresholds((0.5, 0.5, 0.5), "balanced", FittedOn("dev", 300), answer_cuts=cuts)
    after = sigmoid((0.9 * logit(p)).astype(np.float32))
    moved = carry_over(thresholds, logit(p), logit(after), "int8")
    assert [cut.confidence for cut in moved.answer_cuts[1:]] == [0.0, None]
    assert moved.answer_cuts[0].confidence < 0.7  # type: ignore[operator]

    def answered(own: Thresholds, q: np.ndarray) -> np.ndarray:
        sure: np.ndarray = answer_confidence(q, own.apply(q)) >= own.answer_cuts[0].confidence
        return sure

    assert (answered(thresholds, p) == answered(moved, after)).mean() > 0.97


def test_a_precision_without_a_cut_is_refused_with_the_next_step() -> None:
    cuts = (AnswerCut(0.8, 0.6, 0.4), AnswerCut(0.9, None, 0.0))
    assert least_confidence(cuts, 0.8, "dev") == 0.6
    with pytest.raises(RecipeError, match=r"cannot hold a precision of 0.9 on dev, however sure it is; give 0.8$"):
        least_confidence(cuts, 0.9, "dev")
    with pytest.raises(RecipeError, match=r"for 0.8, 0.9, not for 0.85; give 0.8$"):
        least_confidence(cuts, 0.85, "dev")
    with pytest.raises(RecipeError, match="label more posts"):
        least_confidence(cuts[1:], 0.9, "dev")
    with pytest.raises(RecipeError, match="train and export again"):
        least_confidence((), 0.9, "dev")
