"""Groups of labels that exclude each other: probabilities, decisions, calibration and metrics, each against another
computation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import accuracy_score, log_loss

from distill.core.errors import RecipeError
from distill.core.settings.objective import Objective
from distill.data.labels import LabelSet
from distill.scoring.bootstrap import PairedBootstrap, arm_metrics
from distill.scoring.calibration import fit_calibration, fit_group_temperature
from distill.scoring.evaluation import SplitOutputs, evaluate_thresholds, fit_and_evaluate
from distill.scoring.metrics import constant_baseline, macro_f1, measure_decisions, micro_f1
from distill.scoring.probabilities import to_probabilities
from distill.scoring.search import search_cuts
from distill.scoring.thresholds import (
    MICRO_SHARES,
    FittedOn,
    Thresholds,
    carry_over,
    cross_fitted,
    fit_thresholds,
    objective_value,
)

GROUPS = {"degree": (0, 3, 1)}  # of five labels, in another order than theirs; 2 and 4 are decided apart
LABELS = LabelSet(("a", "b", "alone", "c", "other")).with_group_columns(GROUPS)


def case(rows: int, seed: int = 0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and targets (N, 5)."""
    generator = np.random.default_rng(seed)
    y = np.zeros((rows, 5), dtype=np.float32)
    y[np.arange(rows), generator.choice([0, 3, 1], rows, p=[0.5, 0.3, 0.2])] = 1
    y[:, [2, 4]] = generator.random((rows, 2)) < [0.4, 0.2]
    z = scale * (generator.normal(size=y.shape) + 1.5 * y - 0.5)
    return z.astype(np.float32), y


def test_a_groups_probabilities_are_its_softmax_and_the_others_their_logistic_function() -> None:
    z, _ = case(50, scale=30)
    p = to_probabilities(z, GROUPS)
    assert p.dtype == np.float32
    np.testing.assert_allclose(
        p[:, (0, 3, 1)], softmax(z[:, (0, 3, 1)].astype(float), axis=1), rtol=1e-5, atol=1e-30
    )
    np.testing.assert_allclose(p[:, (2, 4)], expit(z[:, (2, 4)].astype(float)), rtol=1e-5)
    np.testing.assert_allclose(p[:, (0, 1, 3)].sum(axis=1), 1, rtol=1e-6)


def test_without_groups_every_bit_is_that_of_the_logistic_function() -> None:
    from distill.scoring.metrics import sigmoid

    z, _ = case(50)
    assert to_probabilities(z, {}).tobytes() == sigmoid(z).tobytes()


def test_exactly_one_of_a_group_is_decided_the_most_probable_and_the_first_of_equal_ones() -> None:
    rule = Thresholds((None, None, 0.3, None, 0.9), "balanced", FittedOn("dev", 2), GROUPS)
    p = np.array([[0.1, 0.5, 0.3, 0.4, 0.5], [0.4, 0.2, 0.2, 0.4, 0.9], [0.33, 0.33, 1, 0.34, 0]], dtype=np.float32)
    expected = [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [0, 0, 1, 1, 0]]
    assert rule.apply(p).astype(int).tolist() == expected
    assert rule.apply(p[1]).astype(int).tolist() == expected[1]
    assert np.isnan(rule.array()[[0, 1, 3]]).all()


def test_a_rule_with_groups_is_written_and_read_and_one_without_is_as_it_was() -> None:
    rule = Thresholds((None, None, 0.3, None, 0.9), "balanced", FittedOn("dev", 2), GROUPS)
    assert Thresholds.from_json(rule.to_json()) == rule
    plain = Thresholds((0.25, 0.5), "micro", FittedOn("dev", 2))
    assert list(plain.to_json()) == ["values", "objective", "fitted_on"]
    for tree in (
        rule.to_json() | {"groups": {"degree": [0, 1]}},
        rule.to_json() | {"groups": {"degree": [0, 3, 9]}},
    ):
        with pytest.raises(RecipeError, match="each label needs a threshold or a place in one of the groups"):
            Thresholds.from_json(tree)


@pytest.mark.parametrize("objective", ["micro", "macro", "balanced"])
def test_thresholds_beside_a_group_are_what_exhaustive_search_finds_with_the_groups_decisions(
    objective: Objective,
) -> None:
    z, _ = case(12)
    p = to_probabilities(z, GROUPS).astype(np.float64)
    own = search_cuts(p, p, MICRO_SHARES[objective], GROUPS).values
    group = Thresholds((None, None, 0.5, None, 0.5), "micro", FittedOn("dev", 12), GROUPS).apply(p)

    def value(cuts: np.ndarray) -> float:
        decided = group.copy()
        decided[:, [2, 4]] = p[:, [2, 4]] >= cuts
        tp, predicted = (p * decided).sum(0), decided.sum(0)
        f1 = 2 * tp / np.maximum(predicted + p.sum(0), 1e-9)
        micro, macro = 2 * tp.sum() / (predicted.sum() + p.sum()), f1.mean()
        return float({"micro": micro, "macro": macro, "balanced": (micro + macro) / 2}[objective])

    candidates = [np.concatenate([np.sort(p[:, i]), [1.1]]) for i in (2, 4)]
    best = max(value(np.array(pair)) for pair in itertools.product(*candidates))
    assert value(own[[2, 4]]) == pytest.approx(best, abs=1e-9)


def test_thresholds_are_fitted_for_labels_outside_of_groups_alone() -> None:
    z, y = case(200)
    p = to_probabilities(z, GROUPS)
    fitted = fit_thresholds(p, y, "balanced", "dev", groups=GROUPS)
    assert [value is None for value in fitted.values] == [True, True, False, True, False]
    assert fitted.groups == GROUPS
    assert objective_value(y, fitted.apply(p), "balanced") >= objective_value(
        y, replace(fitted, values=(None, None, 0.5, None, 0.5)).apply(p), "balanced"
    )
    moved = carry_over(fitted, z, 2 * z + 1, "int8")
    assert moved.values[0] is None
    assert moved.values[2] == pytest.approx(
        expit(2 * np.log(fitted.values[2] / (1 - fitted.values[2])) + 1), rel=1e-4
    )  # type: ignore[operator]


def test_labels_that_are_all_in_groups_need_no_thresholds() -> None:
    z, y = case(40)
    p, y = to_probabilities(z, GROUPS)[:, [0, 1, 3]], y[:, [0, 1, 3]]
    groups = {"label": (0, 1, 2)}
    fitted = fit_thresholds(p, y, "balanced", "dev", groups=groups)
    assert fitted.values == (None, None, None)
    decided = cross_fitted(p, y, "balanced", groups=groups)
    assert (decided.sum(axis=1) == 1).all()
    assert (decided.argmax(axis=1) == p.argmax(axis=1)).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_the_temperature_is_that_of_the_least_log_loss(scale: float) -> None:
    z, y = case(4000, scale=scale)
    z, y = z[:, [0, 1, 3]], y[:, [0, 1, 3]]
    found = fit_group_temperature(z, y)
    wanted = minimize_scalar(
        lambda t: log_loss(y, softmax(z / np.exp(t), axis=1)) + t**2 / 2 / len(y), bounds=(-3, 3), method="bounded"
    )
    assert np.log(found) == pytest.approx(wanted.x, abs=1e-3)
    calibration = fit_calibration(softmax(z, axis=1).astype(np.float32), y, groups={"g": (0, 1, 2)})
    calibrated = calibration.calibrate(softmax(z, axis=1), {"g": (0, 1, 2)})
    np.testing.assert_allclose(calibrated, softmax(z / found, axis=1), atol=1e-4)
    raw = calibration.uncalibrate(calibrated, {"g": (0, 1, 2)})
    np.testing.assert_allclose(raw, softmax(z, axis=1), atol=1e-4)


def test_a_temperature_stays_finite_where_every_row_is_right_and_is_1_where_nothing_is_known() -> None:
    y = np.eye(3, dtype=np.float32)
    assert 0.04 < fit_group_temperature(0.2 * y, y) < 1
    assert fit_group_temperature(y, np.full_like(y, np.nan)) == 1
    assert fit_group_temperature(5 * y, np.roll(y, 1, axis=0)) > 1


def test_the_accuracy_of_a_group_is_scikit_learns_on_the_rows_that_are_known() -> None:
    z, y = case(300)
    y[::7, (0, 1, 3)] = np.nan
    p = to_probabilities(z, GROUPS)
    rule = Thresholds((None, None, 0.4, None, 0.4), "balanced", FittedOn("dev", 300), GROUPS)
    quality = measure_decisions(LABELS.names, y, p, rule.apply(p), rule.array(), GROUPS)
    assert quality.groups is not None
    (group,) = quality.groups
    known = ~np.isnan(y[:, 0])
    expected = accuracy_score(y[known][:, (0, 1, 3)].argmax(1), p[known][:, (0, 1, 3)].argmax(1))
    assert (group.name, group.examples, group.title) == ("degree", int(known.sum()), "accuracy of degree")
    assert group.accuracy.value == pytest.approx(expected)
    assert group.accuracy.low < expected < group.accuracy.high
    assert [label.threshold for label in quality.labels] == [
        None,
        None,
        pytest.approx(0.4),
        None,
        pytest.approx(0.4),
    ]
    assert quality.micro_f1.value == pytest.approx(micro_f1(y, rule.apply(p)))
    assert (
        "groups"
        not in measure_decisions(("x",), y[:, 2:3], p[:, 2:3], p[:, 2:3] > 0.5, rule.array()[2:3]).to_json()
    )


def test_the_constant_predictor_gives_the_most_frequent_label_of_a_group_whatever_it_costs() -> None:
    y = np.zeros((10, 5), dtype=np.float32)
    y[[0, 1, 2, 3], 3], y[[4, 5, 6], 0], y[[7, 8, 9], 1] = 1, 1, 1
    y[0, 4] = 1  # so rare that the best F1 leaves it out
    constant = constant_baseline(LABELS.names, y, y, GROUPS)
    assert constant.names == ("c",)
    assert constant.groups is not None
    assert constant.groups[0].accuracy.value == pytest.approx(0.4)
    assert constant.micro_f1 == pytest.approx(2 * 4 / (2 * 4 + 6 + 7))
    assert constant.macro_f1 == pytest.approx(macro_f1(y, np.broadcast_to(np.arange(5) == 3, y.shape)))


def test_evaluations_and_paired_bootstraps_hold_each_groups_accuracy() -> None:
    z, y = case(80)
    p = to_probabilities(z, GROUPS)
    outputs = SplitOutputs("dev", LABELS, p, y, {"text": p[::-1]})
    evaluation = fit_and_evaluate(outputs, "balanced", y)
    expected = accuracy_score(y[:, (0, 1, 3)].argmax(1), p[:, (0, 1, 3)].argmax(1))
    for _, quality in (evaluation.rows[0], evaluate_thresholds(outputs, evaluation.thresholds, y).rows[0]):
        assert quality.groups is not None
        assert quality.groups[0].accuracy.value == pytest.approx(expected)
    draws = PairedBootstrap(80, 1).metric_draws(y, [p], [evaluation.thresholds.apply(p)], GROUPS)
    arm = arm_metrics(draws)
    assert arm.accuracies["accuracy of degree"].value == pytest.approx(expected)


def test_one_temperature_for_all_outputs_counts_a_group_as_one_decision() -> None:
    from bench.inspect.temperature import fit_temperature, pair_losses, scale, scaling

    z, y = case(500, scale=3)
    p = to_probabilities(z, GROUPS)

    def loss(t: float) -> float:
        own = -(log_softmax(z[:, (0, 1, 3)] / t, axis=1) * y[:, (0, 1, 3)]).sum()
        apart = z[:, (2, 4)].astype(float) / t
        return float(own + np.logaddexp(0, np.where(y[:, (2, 4)] == 1, -apart, apart)).sum()) / (3 * 500)

    found = fit_temperature(p, y, GROUPS)
    assert found == pytest.approx(minimize_scalar(loss, bounds=(0.3, 10), method="bounded").x, rel=1e-3)
    scaled = scale(p, found, GROUPS)
    np.testing.assert_allclose(scaled[:, (0, 1, 3)].sum(axis=1), 1, rtol=1e-5)
    assert pair_losses(y, scaled, GROUPS).sum() / (3 * 500) == pytest.approx(loss(found), rel=1e-3)
    assert scaling(p, y, GROUPS).before.log_loss == pytest.approx(loss(1), rel=1e-3)
