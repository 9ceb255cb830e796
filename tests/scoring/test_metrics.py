"""Our numpy metrics against scikit-learn and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from distill.scoring import metrics


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = (generator.random((80, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.0]).astype(np.float32)
    p = metrics.sigmoid((generator.normal(size=y.shape) + 1.5 * y - 1).astype(np.float32)).round(2)  # with ties
    return y, p


def test_f1_agrees_with_sklearn_in_both_zero_division_variants(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    d = p >= 0.6
    d[:, 5] = False  # a label with neither gold nor decision
    assert metrics.micro_f1(y, d) == pytest.approx(f1_score(y, d, average="micro"))
    assert metrics.macro_f1(y, d) == pytest.approx(f1_score(y, d, average="macro", zero_division=0))
    assert metrics.macro_f1(y, d, empty=1.0) == pytest.approx(f1_score(y, d, average="macro", zero_division=1))


def test_average_precision_agrees_with_sklearn_with_ties(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    assert metrics.micro_ap(y, p) == pytest.approx(average_precision_score(y, p, average="micro"))
    assert metrics.macro_ap(y, p) == pytest.approx(average_precision_score(y[:, :5], p[:, :5], average="macro"))
    assert metrics.average_precision(y[:, 5], p[:, 5]) is None


def test_label_rows_agree_with_sklearn(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    thresholds = np.full(6, 0.55, dtype=np.float32)
    quality = metrics.measure_probabilities(tuple("abcdef"), y, p, thresholds)
    precision, recall, f1, support = precision_recall_fscore_support(y, p >= thresholds, zero_division=0)
    assert [label.precision for label in quality.labels] == pytest.approx(list(precision))
    assert [label.recall for label in quality.labels] == pytest.approx(list(recall))
    assert [label.f1 for label in quality.labels] == pytest.approx(list(f1))
    assert [label.support for label in quality.labels] == list(support)


def test_sigmoid_does_not_overflow() -> None:
    assert metrics.sigmoid(np.array([-1e4, 0.0, 1e4], dtype=np.float32)).tolist() == [0.0, 0.5, 1.0]


def test_calibration_error_of_a_hand_computed_case() -> None:
    p = np.array([[0.1], [0.1], [0.9], [0.9]], dtype=np.float32)
    y = np.array([[0], [1], [1], [1]], dtype=np.float32)
    # two bins of two: |0.5 - 0.1| and |1.0 - 0.9|, weighted by one half each
    assert metrics.expected_calibration_error(y, p) == pytest.approx(0.25, abs=1e-6)


def test_constant_predictor_takes_the_labels_that_serve_training_micro_f1() -> None:
    train = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    test = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.float32)
    constant = metrics.constant_baseline(("a", "b", "c"), train, test)
    assert constant.names == ("a", "b")  # 2*5/(8+6) beats 2*3/(4+6) and 2*6/(12+6)
    assert constant.micro_f1 == pytest.approx(2 * 3 / (4 + 3))


def test_bootstrap_intervals_agree_with_drawing_rows_one_by_one(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    d = p >= 0.5
    micro, macro = metrics.bootstrap_f1(y, d, rounds=2000)
    generator = np.random.default_rng(9)
    drawn = [generator.integers(0, len(y), len(y)) for _ in range(2000)]
    reference = np.percentile([metrics.micro_f1(y[rows], d[rows]) for rows in drawn], [2.5, 97.5])
    assert [micro.low, micro.high] == pytest.approx(list(reference), abs=0.01)
    assert macro.low < metrics.macro_f1(y, d) < macro.high
