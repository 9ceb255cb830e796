"""Thresholds against exhaustive search, and what keeps them from fitting noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import f1_score

from distill.core.errors import DataError, RecipeError
from distill.core.settings.objective import Objective
from distill.scoring import calibration, thresholds
from distill.scoring.calibration import Calibration, fit_calibration, fit_platt, label_rates
from distill.scoring.metrics import macro_f1, micro_ap, micro_f1, sigmoid
from distill.scoring.search import best_constant_f1, search_cuts
from distill.scoring.thresholds import FittedOn, Thresholds


def noisy_case(rows: int, rates: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = (generator.random((rows, len(rates))) < rates).astype(np.float32)
    p = 1 / (1 + np.exp(-(generator.normal(size=y.shape) + 1.5 * y - 1)))
    return p.astype(np.float32), y


@pytest.mark.parametrize("objective", ["micro", "macro", "balanced"])
def test_joint_search_finds_what_exhaustive_search_finds(objective: Objective) -> None:
    p, y = noisy_case(14, [0.5, 0.3])
    cuts = [np.concatenate([[0], np.sort(p[:, i]) + 1e-6]) for i in range(2)]
    best = max(thresholds.objective_value(y, p >= np.array(pair), objective) for pair in itertools.product(*cuts))
    own = search_cuts(p, y, thresholds.MICRO_SHARES[objective]).values
    assert thresholds.objective_value(y, p >= own, objective) == pytest.approx(best, abs=1e-9)


def test_each_objective_is_served_best_by_its_own_search() -> None:
    p, y = noisy_case(300, [0.6, 0.4, 0.2, 0.1, 0.05, 0.03])
    found = {
        name: search_cuts(p, y, thresholds.MICRO_SHARES[name]).values for name in ("micro", "macro", "balanced")
    }
    micro = {name: micro_f1(y, p >= values) for name, values in found.items()}
    macro = {name: macro_f1(y, p >= values) for name, values in found.items()}
    assert max(micro, key=lambda name: micro[name]) == "micro"
    assert max(macro, key=lambda name: macro[name]) == "macro"
    assert micro["balanced"] >= micro["macro"]
    assert macro["balanced"] >= macro["micro"]


def test_balanced_thresholds_keep_the_micro_f1_of_always_predicting_the_same_labels() -> None:
    """One label of most rows that nothing tells, and rare ones that little tells."""
    generator = np.random.default_rng(0)
    y = (generator.random((400, 9)) < [0.65] + [0.08] * 8).astype(np.float32)
    p = sigmoid((generator.normal(size=y.shape) + 0.6 * y * (np.arange(9) > 0) - 1).astype(np.float32))
    constant = max(f1_score(y, np.tile(np.arange(9) < n, (400, 1)), average="micro") for n in range(1, 10))
    assert best_constant_f1(y) == pytest.approx(constant)
    calibrated = fit_calibration(p, y).calibrate(p)
    assert search_cuts(calibrated, calibrated, 0.5).micro_f1 < best_constant_f1(calibrated) - 0.02
    balanced, macro = (thresholds.fit_thresholds(p, y, name, "dev").apply(p) for name in ("balanced", "macro"))
    assert micro_f1(y, macro) < constant < micro_f1(y, balanced)


@pytest.mark.parametrize("objective", ["micro", "macro"])
def test_the_best_cut_for_one_label_is_half_of_the_best_f1(objective: Objective) -> None:
    """Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure"."""
    q = np.sort(np.random.default_rng(1).beta(0.6, 2.0, size=(5000, 1)), axis=0)
    cut = search_cuts(q, q, thresholds.MICRO_SHARES[objective]).values[0]
    decided = q[:, 0] >= cut
    f1 = 2 * q[decided].sum() / (decided.sum() + q.sum())
    assert cut == pytest.approx(f1 / 2, abs=1e-3)


@pytest.mark.parametrize("scale", [0.05, 0.1, 1.0, 3.0])
def test_scaling_and_shifting_a_labels_logits_changes_no_decision(scale: float) -> None:
    """Down to logits whose spread is a twentieth, as of a focal loss in its first epochs."""
    p, y = noisy_case(120, [0.5, 0.3, 0.1, 0.05])
    logits, generator = np.log(p) - np.log1p(-p), np.random.default_rng(4)
    other = scale * generator.uniform(0.5, 2, 4) * logits + generator.normal(size=4)
    bent = sigmoid(other.astype(np.float32))
    for objective in ("micro", "macro", "balanced"):
        decided, again = (thresholds.fit_thresholds(q, y, objective, "dev").apply(q) for q in (p, bent))
        assert (decided == again).all()


def test_labels_that_are_told_apart_perfectly_are_decided_perfectly() -> None:
    """However flat the probabilities are: all of them within 0.45 and 0.55."""
    generator = np.random.default_rng(5)
    y = (generator.random((48, 3)) < [0.5, 0.25, 0.1]).astype(np.float32)
    p = (0.45 + 0.06 * y + 0.04 * generator.random(y.shape)).astype(np.float32)
    for objective in ("micro", "macro", "balanced"):
        assert (thresholds.fit_thresholds(p, y, objective, "dev").apply(p) == (y > 0.5)).all()


def test_calibration_finds_the_lines_that_the_probabilities_were_bent_by() -> None:
    generator = np.random.default_rng(2)
    true = generator.normal(-1.5, 1.5, size=(20_000, 3))
    y = (generator.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    slopes, offsets = np.array([1.6, 0.8, 3.0]), np.array([0.5, 1.0, -0.7])
    bent = (true - offsets) / slopes
    fitted = Calibration.of(*fit_platt(bent, y))
    assert fitted.slopes == pytest.approx(slopes, rel=0.05)
    assert fitted.offsets == pytest.approx(offsets, abs=0.1)
    assert np.abs(sigmoid(fitted.apply(bent)).mean(0) - y.mean(0)).max() < 0.005
    assert fitted.undo(fitted.apply(bent[:5])) == pytest.approx(bent[:5], abs=1e-9)


def test_the_fit_of_each_label_is_the_minimum_that_scipy_finds() -> None:
    p, y = noisy_case(50, [0.5, 0.1, 0.02])
    z = np.log(p / (1 - p)).astype(np.float64)
    z = (z - z.mean(0)) / z.std(0)
    centre = calibration._offsets_for_rates(1.3, z, label_rates(y))
    prior = calibration._Prior(1.3, 7.0, label_rates(y))
    lines = calibration._fit_labels(z, y, np.ones(y.shape, dtype=bool), prior, None)
    for i in range(3):

        def penalised(line: np.ndarray, i: int = i) -> float:
            scores = line[0] * z[:, i] + line[1]
            likelihood = np.logaddexp(0, scores).sum() - (y[:, i] * scores).sum()
            offset = calibration.OFFSET_PRECISION / 2 * (line[1] - centre[i]) ** 2
            return float(likelihood + 7.0 / 2 * (line[0] - 1.3) ** 2 + offset)

        best = minimize(penalised, np.array([1.0, 0.0]), method="BFGS")
        assert (lines.slopes[i], lines.offsets[i]) == pytest.approx(tuple(best.x), abs=1e-3)
        assert lines.slope_variances[i] == pytest.approx(best.hess_inv[0, 0], rel=0.1)


def test_a_label_that_is_told_apart_is_not_held_back_by_one_that_is_not() -> None:
    generator = np.random.default_rng(7)
    y = (generator.random((40, 2)) < 0.5).astype(np.float32)
    p = sigmoid((0.02 * y * [0, 1] + 0.02 * generator.random(y.shape) - 0.4).astype(np.float32))
    assert (thresholds.fit_thresholds(p, y, "balanced", "dev").apply(p)[:, 1] == (y[:, 1] > 0.5)).all()


def test_offsets_give_the_rate_that_is_asked_for() -> None:
    z = np.random.default_rng(6).normal(size=(200, 3))
    rates = np.array([0.9, 0.3, 0.001])
    offsets = calibration._offsets_for_rates(2.0, z, rates)
    assert (1 / (1 + np.exp(-(2 * z + offsets)))).mean(0) == pytest.approx(rates, abs=1e-6)


def test_unknown_targets_change_nothing_but_how_much_is_known() -> None:
    """Rows of which nothing is known are as good as absent for the calibration's lines."""
    p, y = noisy_case(80, [0.5, 0.3, 0.1])
    logits = np.log(p / (1 - p)).astype(np.float64)
    unknown = np.concatenate([y, np.full((40, 3), np.nan, dtype=np.float32)])
    more = np.concatenate([logits, logits[:40]])
    assert label_rates(unknown) == pytest.approx(label_rates(y))
    half, whole = unknown.copy(), unknown.copy()
    half[:40, 0] = np.nan
    fitted = thresholds.fit_thresholds(sigmoid(more.astype(np.float32)), half, "micro", "dev")
    assert fitted.fitted_on.examples == 80
    assert np.isfinite(fitted.array()).all()
    assert fit_platt(more, whole)[0] == pytest.approx(fit_platt(logits, y)[0], rel=0.1)


def test_a_label_without_positives_still_has_a_threshold() -> None:
    p, y = noisy_case(60, [0.5, 0.3, 0.0])
    fitted = thresholds.fit_thresholds(p, y, "balanced", "dev")
    assert all(0 < value < 1 for value in fitted.values)
    assert np.isfinite(thresholds.fit_thresholds(p[:3], y[:3], "macro", "dev").array()).all()


def test_noise_is_not_fitted() -> None:
    """With probabilities that know nothing, thresholds must not promise what they do not keep unseen."""
    naive, fitted = [], []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        y = (generator.random((60, 12)) < 0.15).astype(np.float32)
        p = generator.random(y.shape).astype(np.float32)
        unseen = macro_f1(y, thresholds.cross_fitted(p, y, "macro"))
        naive.append(macro_f1(y, p >= search_cuts(p, y, 0.0).values) - unseen)
        fitted.append(macro_f1(y, thresholds.fit_thresholds(p, y, "macro", "dev").apply(p)) - unseen)
    assert np.mean(naive) > 0.05  # what naive tuning pretends
    assert np.abs(fitted).max() < 0.02


def test_unseen_rows_are_decided_better_than_by_naive_tuning() -> None:
    """Rare labels, few rows: the case that this is for. Mean of ten datasets, balanced objective."""
    gains = []
    for seed in range(10):
        p, y = noisy_case(400, [0.5, 0.3, 0.1, 0.05, 0.05, 0.03], seed)
        cuts = search_cuts(p[:100], y[:100], 0.5).values
        fitted = thresholds.fit_thresholds(p[:100], y[:100], "balanced", "dev")
        ours, naive = (
            thresholds.objective_value(y[100:], d, "balanced") for d in (fitted.apply(p[100:]), p[100:] >= cuts)
        )
        gains.append(ours - naive)
    assert np.mean(gains) > 0.01


def test_cross_fitted_decisions_ignore_the_rows_own_label() -> None:
    p, y = noisy_case(40, [0.5, 0.4])
    before = thresholds.cross_fitted(p, y, "micro")
    part = thresholds.rows_by_fold(y)[0][0]
    again = np.zeros_like(before)
    rest = np.setdiff1d(np.arange(40), part)
    again[part] = thresholds.fit_thresholds(p[rest], y[rest], "micro", "x").apply(p[part])
    assert (before[part] == again[part]).all()


def test_thresholds_survive_their_json_form_exactly() -> None:
    p, y = noisy_case(50, [0.5, 0.3])
    fitted = thresholds.fit_thresholds(p, y, "balanced", "dev, 50 examples")
    assert Thresholds.from_json(fitted.to_json()) == fitted
    with pytest.raises(RecipeError, match="unknown key 'extra'"):
        Thresholds.from_json(fitted.to_json() | {"extra": 1})


def test_a_probability_equal_to_its_threshold_decides_for_the_label() -> None:
    made = Thresholds((0.25, 0.5), "micro", FittedOn("hand", 9))
    assert made.apply(np.array([[0.25, 0.49999]], dtype=np.float32)).tolist() == [[True, False]]


def test_fitting_without_positives_is_refused() -> None:
    with pytest.raises(DataError, match="no positive labels"):
        thresholds.fit_thresholds(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32), "micro", "dev")


def test_no_row_is_calibrated_with_its_own_label_nor_flattered_by_a_calibration_before() -> None:
    p, y = noisy_case(60, [0.5, 0.3, 0.1])
    honest = thresholds.cross_calibrated(p, y)
    held_out = thresholds.rows_by_fold(y)[0][0]
    flipped = y.copy()
    flipped[held_out[0]] = 1 - flipped[held_out[0]]
    folds = [(part, rest) for part, rest in thresholds.rows_by_fold(y)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "rows_by_fold", lambda _: folds)  # the same rows in each, whatever the labels
        np.testing.assert_array_equal(thresholds.cross_calibrated(p, flipped)[held_out], honest[held_out])
    before = fit_calibration(p, y).calibrate(p).astype(np.float32)
    np.testing.assert_allclose(thresholds.cross_calibrated(before, y), honest, atol=2e-3)


def test_labels_that_mean_nothing_look_calibrated_on_their_own_rows_alone() -> None:
    """Micro-AP of noise, with rates that differ: calibration on the same rows says more than it knows."""
    own, honest = [], []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        y = (generator.random((40, 12)) < 0.25).astype(np.float32)
        p = generator.random(y.shape).astype(np.float32)
        own.append(micro_ap(y, fit_calibration(p, y).calibrate(p)))
        honest.append(micro_ap(y, thresholds.cross_calibrated(p, y)))
    assert np.mean(own) > np.mean(honest) + 0.03
