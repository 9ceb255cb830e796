"""Our numpy metrics against scikit-learn and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from distill.core.errors import ArgumentError
from distill.scoring import metrics
from distill.scoring.bootstrap import PairedBootstrap


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


def test_a_label_that_is_known_of_no_example_counts_in_no_f1(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    d = p >= 0.6
    unknown = y.copy()
    unknown[:, 2] = np.nan
    rest = [0, 1, 3, 4, 5]
    expected = f1_score(y[:, rest], d[:, rest], average="macro", zero_division=0)
    assert metrics.macro_f1(unknown, d) == pytest.approx(expected)
    quality = metrics.measure_decisions(tuple("abcdef"), unknown, p, d, np.full(6, 0.6, dtype=np.float32))
    assert quality.macro_f1.value == pytest.approx(expected)
    assert quality.macro_f1.low < expected < quality.macro_f1.high
    assert metrics.macro_f1(np.full_like(y, np.nan), d) == 0


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


def test_unknown_targets_count_in_no_metric(case: tuple[np.ndarray, np.ndarray]) -> None:
    """Some labels of some rows, and ten whole rows: every figure is that of the known pairs alone."""
    y, p = case
    unknown = np.random.default_rng(1).random(y.shape) < 0.3
    unknown[:10] = True
    masked, d = np.where(unknown, np.nan, y).astype(np.float32), p >= 0.5
    known = [~unknown[:, i] for i in range(6)]
    f1 = [f1_score(y[rows, i], d[rows, i], zero_division=0) for i, rows in enumerate(known)]
    assert metrics.macro_f1(masked, d) == pytest.approx(np.mean(f1))
    assert metrics.micro_f1(masked, d) == pytest.approx(f1_score(y[~unknown], d[~unknown]))
    assert metrics.micro_ap(masked, p) == pytest.approx(average_precision_score(y[~unknown], p[~unknown]))
    quality = metrics.measure_decisions(tuple("abcdef"), masked, p, d, np.full(6, 0.5, dtype=np.float32))
    assert quality.examples == 70
    for i, label in enumerate(quality.labels[:5]):
        rows = known[i]
        assert label.support == y[rows, i].sum()
        assert label.average_precision == pytest.approx(average_precision_score(y[rows, i], p[rows, i]))
    assert quality.ece == pytest.approx(
        metrics.expected_calibration_error(y[~unknown][:, None], p[~unknown][:, None])
    )
    assert (quality.micro_f1.low, quality.micro_f1.high) == pytest.approx(
        (quality.micro_f1.value, quality.micro_f1.value), abs=0.2
    )
    constant = metrics.constant_baseline(tuple("abcdef"), masked, masked)
    assert constant.micro_f1 == metrics.micro_f1(masked, np.tile(np.isin(tuple("abcdef"), constant.names), (80, 1)))


def test_rows_of_which_nothing_is_known_change_no_figure(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = case
    more_y = np.concatenate([y, np.full_like(y, np.nan)])
    more_p = np.concatenate([p, p[::-1]])
    draws, more = PairedBootstrap(len(y), 1), PairedBootstrap(2 * len(y), 1)
    ours = draws.metric_draws(y, [p], [p >= 0.5])
    theirs = more.metric_draws(more_y, [more_p], [more_p >= 0.5])
    assert {name: values[0] for name, values in ours.items()} == pytest.approx(
        {name: values[0] for name, values in theirs.items()}
    )


@pytest.mark.parametrize("strange", [2.0, 0.5, -1.0, np.inf])
def test_targets_other_than_0_1_and_unknown_are_refused(strange: float) -> None:
    targets = np.array([[1.0, strange]], dtype=np.float32)
    with pytest.raises(ArgumentError, match="targets must be 0, 1 or, where unknown, NaN; got"):
        metrics.micro_f1(targets, np.array([[True, False]]))


def test_small_probabilities_keep_their_order() -> None:
    logits = np.array([-60.0, -40.0, -20.0, -17.0, 0.0, 10.0, 15.0], dtype=np.float32)
    assert metrics.logit(metrics.sigmoid(logits)) == pytest.approx(logits, rel=0.02)
