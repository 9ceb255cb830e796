"""Micro- against macro-F1 as the objective moves."""

from __future__ import annotations

import numpy as np
import pytest

from distill.scoring.metrics import macro_f1, micro_f1, sigmoid
from distill.scoring.thresholds import cross_fitted
from distill.scoring.trade_off import trade_off


def test_the_ends_of_the_curve_are_the_two_objectives_and_it_goes_from_one_to_the_other() -> None:
    generator = np.random.default_rng(2)
    y = (generator.random((500, 5)) < [0.6, 0.3, 0.2, 0.1, 0.05]).astype(np.float32)
    p = sigmoid((generator.normal(size=y.shape) + 1.2 * y - 1).astype(np.float32))
    points = trade_off(p, y)
    assert [point.micro_share for point in points] == pytest.approx(np.linspace(0, 1, 11))
    for point, objective in ((points[0], "macro"), (points[-1], "micro")):
        decided = cross_fitted(p, y, objective)
        assert (point.micro_f1, point.macro_f1) == (micro_f1(y, decided), macro_f1(y, decided))
    assert points[-1].micro_f1 > points[0].micro_f1
    assert points[0].macro_f1 > points[-1].macro_f1


def test_labels_of_a_group_are_the_most_probable_ones_at_every_share() -> None:
    generator = np.random.default_rng(3)
    y = np.eye(3, dtype=np.float32)[generator.integers(0, 3, 60)]
    p = (y + generator.random((60, 3)) * 1.2).astype(np.float32)
    p /= p.sum(1, keepdims=True)
    points = trade_off(p, y, None, {"g": (0, 1, 2)})
    assert len({(point.micro_f1, point.macro_f1) for point in points}) == 1
    assert points[0].micro_f1 == pytest.approx((p.argmax(1) == y.argmax(1)).mean())
