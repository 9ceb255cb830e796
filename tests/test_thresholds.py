"""Thresholds against exhaustive search, and what keeps them from fitting noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from distill import thresholds
from distill.errors import DataError, RecipeError
from distill.metrics import macro_f1, micro_f1
from distill.recipe import Objective
from distill.thresholds import Thresholds


def noisy_case(rows: int, rates: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = (generator.random((rows, len(rates))) < rates).astype(np.float32)
    p = 1 / (1 + np.exp(-(generator.normal(size=y.shape) + 1.5 * y - 1)))
    return p.astype(np.float32), y


@pytest.mark.parametrize("objective", ["micro", "macro", "balanced"])
def test_joint_search_finds_what_exhaustive_search_finds(objective: Objective) -> None:
    p, y = noisy_case(14, [0.5, 0.3])
    cuts = [np.concatenate([[0], np.sort(p[:, i]) + 1e-6]) for i in range(2)]
    best = max(thresholds.score(y, p >= np.array(pair), objective) for pair in itertools.product(*cuts))
    _, own = thresholds._search(p, y, objective)
    assert thresholds.score(y, p >= own, objective) == pytest.approx(best, abs=1e-9)


def test_each_objective_is_served_best_by_its_own_search() -> None:
    p, y = noisy_case(300, [0.6, 0.4, 0.2, 0.1, 0.05, 0.03])
    found = {name: thresholds._search(p, y, name)[1] for name in ("micro", "macro", "balanced")}
    micro = {name: micro_f1(y, p >= values) for name, values in found.items()}
    macro = {name: macro_f1(y, p >= values) for name, values in found.items()}
    assert max(micro, key=lambda name: micro[name]) == "micro"
    assert max(macro, key=lambda name: macro[name]) == "macro"
    assert micro["balanced"] >= micro["macro"]
    assert macro["balanced"] >= macro["micro"]


def test_labels_without_positives_keep_the_global_threshold() -> None:
    p, y = noisy_case(60, [0.5, 0.3, 0.0])
    fitted = thresholds.fit(p, y, "balanced", "dev")
    assert fitted.values[2] == pytest.approx(fitted.global_value, rel=1e-5)


def test_noise_is_not_fitted() -> None:
    """With probabilities that know nothing, thresholds of their own must not beat the single one unseen."""
    generator = np.random.default_rng(3)
    y = (generator.random((60, 12)) < 0.15).astype(np.float32)
    p = generator.random(y.shape).astype(np.float32)
    naive = thresholds._search(p, y, "macro")[1]
    fitted = thresholds.fit(p, y, "macro", "dev")
    unseen = thresholds.cross_fitted(p, y, "macro")
    assert macro_f1(y, p >= naive) > macro_f1(y, unseen) + 0.05  # what naive tuning pretends
    spread = np.std([np.log(v / (1 - v)) for v in fitted.values])
    assert spread < np.std(np.log(naive / (1 - naive)))


def test_cross_fitted_decisions_ignore_the_rows_own_label() -> None:
    p, y = noisy_case(40, [0.5, 0.4])
    before = thresholds.cross_fitted(p, y, "micro", seed=1)
    part = thresholds._folds(y, seed=1)[0][0]
    again = np.zeros_like(before)
    rest = np.setdiff1d(np.arange(40), part)
    again[part] = thresholds.fit(p[rest], y[rest], "micro", "x", seed=1).apply(p[part])
    assert (before[part] == again[part]).all()


def test_thresholds_survive_their_json_form_exactly() -> None:
    p, y = noisy_case(50, [0.5, 0.3])
    fitted = thresholds.fit(p, y, "balanced", "dev, 50 examples")
    assert Thresholds.from_json(fitted.to_json()) == fitted
    with pytest.raises(RecipeError, match="unknown key 'extra'"):
        Thresholds.from_json(fitted.to_json() | {"extra": 1})


def test_a_probability_equal_to_its_threshold_decides_for_the_label() -> None:
    made = Thresholds((0.25, 0.5), "micro", 0.5, 0.0, "hand")
    assert made.apply(np.array([[0.25, 0.49999]], dtype=np.float32)).tolist() == [[True, False]]


def test_fitting_without_positives_is_refused() -> None:
    with pytest.raises(DataError, match="no positive labels"):
        thresholds.fit(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32), "micro", "dev")
