"""Thresholds against exhaustive search, and what keeps them from fitting noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from distill.core.errors import DataError, RecipeError
from distill.core.recipe import Objective
from distill.scoring import calibration, thresholds
from distill.scoring.calibration import calibrate
from distill.scoring.metrics import macro_f1, micro_f1
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
    own = thresholds._search(p, y, objective)
    assert thresholds.objective_value(y, p >= own, objective) == pytest.approx(best, abs=1e-9)


def test_each_objective_is_served_best_by_its_own_search() -> None:
    p, y = noisy_case(300, [0.6, 0.4, 0.2, 0.1, 0.05, 0.03])
    found = {name: thresholds._search(p, y, name) for name in ("micro", "macro", "balanced")}
    micro = {name: micro_f1(y, p >= values) for name, values in found.items()}
    macro = {name: macro_f1(y, p >= values) for name, values in found.items()}
    assert max(micro, key=lambda name: micro[name]) == "micro"
    assert max(macro, key=lambda name: macro[name]) == "macro"
    assert micro["balanced"] >= micro["macro"]
    assert macro["balanced"] >= macro["micro"]


@pytest.mark.parametrize("objective", ["micro", "macro"])
def test_the_best_cut_for_one_label_is_half_of_the_best_f1(objective: Objective) -> None:
    """Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure"."""
    q = np.sort(np.random.default_rng(1).beta(0.6, 2.0, size=(5000, 1)), axis=0)
    cut = thresholds._search(q, q, objective)[0]
    decided = q[:, 0] >= cut
    f1 = 2 * q[decided].sum() / (decided.sum() + q.sum())
    assert cut == pytest.approx(f1 / 2, abs=1e-3)


def test_calibration_finds_the_line_that_the_probabilities_were_bent_by() -> None:
    generator = np.random.default_rng(2)
    true = generator.normal(-1.5, 1.5, size=(20_000, 3))
    y = (generator.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    offsets = np.array([0.5, 1.0, -0.7])
    bent = (1 / (1 + np.exp(-(true - offsets) / 1.6))).astype(np.float32)
    found = calibrate(bent, y)
    assert found.slope == pytest.approx(1.6, abs=0.05)
    assert found.offsets == pytest.approx(offsets, abs=0.1)
    assert np.abs(found.apply(bent).mean(0) - y.mean(0)).max() < 0.005
    q = np.array([0.2, 0.5, 0.9])
    assert found.apply(found.invert(q)[None]) == pytest.approx(q[None], abs=1e-5)


def test_calibration_is_the_minimum_that_scipy_finds() -> None:
    p, y = noisy_case(50, [0.5, 0.1, 0.02])
    z = np.log(p / (1 - p)).astype(np.float64)

    def penalised(parameters: np.ndarray) -> float:
        slope, shared, own = parameters[0], parameters[1], parameters[2:]
        scores = slope * z + shared + own
        return float(
            np.logaddexp(0, scores).sum()
            - (y * scores).sum()
            + calibration.PRIOR / 2 * ((slope - 1) ** 2 + (own**2).sum())
        )

    best = minimize(penalised, np.array([1.0, 0, 0, 0, 0]), method="BFGS").x
    found = calibrate(p, y)
    assert found.slope == pytest.approx(best[0], abs=1e-3)
    assert found.offsets == pytest.approx(best[1] + best[2:], abs=1e-3)


def test_a_label_without_positives_still_has_a_threshold() -> None:
    p, y = noisy_case(60, [0.5, 0.3, 0.0])
    fitted = thresholds.fit_thresholds(p, y, "balanced", "dev")
    assert all(0 < value < 1 for value in fitted.values)
    assert np.isfinite(thresholds.fit_thresholds(p[:3], y[:3], "macro", "dev").array()).all()


def test_noise_is_not_fitted() -> None:
    """With probabilities that know nothing, thresholds must not promise what they do not keep unseen."""
    generator = np.random.default_rng(3)
    y = (generator.random((60, 12)) < 0.15).astype(np.float32)
    p = generator.random(y.shape).astype(np.float32)
    naive = macro_f1(y, p >= thresholds._search(p, y, "macro"))
    unseen = macro_f1(y, thresholds.cross_fitted(p, y, "macro"))
    fitted = macro_f1(y, thresholds.fit_thresholds(p, y, "macro", "dev").apply(p))
    assert naive > unseen + 0.05  # what naive tuning pretends
    assert abs(fitted - unseen) < (naive - unseen) / 2


def test_unseen_rows_are_decided_better_than_by_naive_tuning() -> None:
    """Rare labels, few rows: the case that this is for. Mean of ten datasets, balanced objective."""
    gains = []
    for seed in range(10):
        p, y = noisy_case(400, [0.5, 0.3, 0.1, 0.05, 0.05, 0.03], seed)
        cuts = thresholds._search(p[:100], y[:100], "balanced")
        fitted = thresholds.fit_thresholds(p[:100], y[:100], "balanced", "dev")
        ours, naive = (
            thresholds.objective_value(y[100:], d, "balanced") for d in (fitted.apply(p[100:]), p[100:] >= cuts)
        )
        gains.append(ours - naive)
    assert np.mean(gains) > 0.01


def test_cross_fitted_decisions_ignore_the_rows_own_label() -> None:
    p, y = noisy_case(40, [0.5, 0.4])
    before = thresholds.cross_fitted(p, y, "micro")
    part = thresholds._folds(y)[0][0]
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
