"""Drift: the measures against others' formulas, their chance of a false call, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binomtest, ks_2samp

from distill.scoring import drift
from distill.scoring.drift import TwoSamples

Floats = NDArray[np.float64]


def test_the_interval_of_two_rates_is_that_of_newcombes_paper() -> None:
    """56/70 - 48/80, method 10 of his table II."""
    assert drift.newcombe_interval(56, 70, 48, 80, 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("count", "of"), [(0, 12), (3, 40), (40, 40), (170, 400)])
def test_wilson_intervals_agree_with_scipy(count: int, of: int) -> None:
    theirs = binomtest(count, of).proportion_ci(0.999, method="wilson")
    assert drift.wilson_interval(count, of, 0.999) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_mmd_agrees_with_its_formula_written_as_loops() -> None:
    generator = np.random.default_rng(0)
    points, x, y = generator.normal(size=(9, 3)), [0, 3, 4, 8], [1, 2, 5, 6, 7]
    distances = squareform(pdist(points))
    width = np.median(distances[np.triu_indices(9, 1)])

    def k(i: int, j: int) -> float:
        return float(np.exp(-(distances[i, j] ** 2) / (2 * width**2)))

    expected = sum(k(i, j) for i in x for j in x if i != j) / (4 * 3)
    expected += sum(k(i, j) for i in y for j in y if i != j) / (5 * 4)
    expected -= 2 * sum(k(i, j) for i in x for j in y) / (4 * 5)
    sides = np.isin(np.arange(9), x).astype(float)[None]
    assert drift.mmd(drift.gaussian_kernel(points), sides) == pytest.approx([expected], abs=1e-12)


def test_kolmogorovs_distance_agrees_with_scipy_where_values_are_tied() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        one, other = generator.integers(0, 6, 17).astype(float), generator.integers(1, 8, 11).astype(float)
        sides = np.concatenate([np.ones(17), np.zeros(11)])[None]
        ours = drift.kolmogorov_smirnov(np.concatenate([one, other]), sides)
        assert ours == pytest.approx([ks_2samp(one, other).statistic])


def report(
    generator: np.random.Generator, rates: Floats, offset: float = 0.0, longer: float = 0.0
) -> drift.DriftReport:
    """Sixty earlier examples with rates of 0.3 each, and fifty new ones."""
    before = (generator.random((60, len(rates))) < 0.3, generator.normal(size=60), generator.normal(size=(60, 4)))
    now = (generator.random((50, len(rates))) < rates, generator.normal(size=50), generator.normal(size=(50, 4)))
    names = [f"label {i}" for i in range(len(rates))]
    lengths = {"words": TwoSamples(before[1], now[1] + longer)}
    features = {"features": TwoSamples(before[2], now[2] + offset)}
    return drift.detect_drift(names, TwoSamples(before[0], now[0]), lengths, features)


def test_where_nothing_changed_few_reports_say_drift() -> None:
    """In 5 % at the most; 100 reports have more than 12 then once in a thousand times."""
    generator = np.random.default_rng(2)
    assert sum(bool(report(generator, np.full(12, 0.3)).drifted) for _ in range(100)) <= 12


def test_p_values_are_even_where_nothing_changed() -> None:
    generator = np.random.default_rng(3)
    found = [shift.p for _ in range(100) for shift in report(generator, np.full(1, 0.3)).shifts]
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)
    assert np.mean(np.array(found) <= 0.2) == pytest.approx(0.2, abs=0.1)


def test_what_changed_is_named_and_nothing_else() -> None:
    rates = np.full(12, 0.3)
    rates[7] = 0.9
    assert report(np.random.default_rng(4), rates).drifted == ("label 7",)
    assert report(np.random.default_rng(4), np.full(12, 0.3), offset=0.8).drifted == ("features",)
    assert report(np.random.default_rng(4), np.full(12, 0.3), longer=1.0).drifted == ("words",)


def test_distributions_of_a_few_rows_are_skipped_and_many_are_drawn_from() -> None:
    having = TwoSamples(np.zeros((20, 1), dtype=bool), np.zeros((20, 1), dtype=bool))
    many = np.random.default_rng(5).normal(size=(1100, 2))
    pairs = {"few": TwoSamples(many[:9], many[:20]), "many": TwoSamples(many, many[:20])}
    found = drift.detect_drift(["label"], having, {}, pairs)
    assert found.skipped == ("few",)
    assert [(shift.name, shift.before_of, shift.now_of) for shift in found.shifts] == [("many", drift.ROWS, 20)]


def test_features_that_are_all_the_same_are_no_drift() -> None:
    same = np.ones((20, 3))
    assert not drift.embedding_shift("same", TwoSamples(same, same), 0.01).drifted
