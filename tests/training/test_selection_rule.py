"""The rule that chooses posts to label: doubts by hand, shares, unlike posts, and the same ones for one seed."""

from __future__ import annotations

import numpy as np
import pytest

from distill.scoring.thresholds import FittedOn, Thresholds
from distill.training.selection.rule import Rule, choose, doubts_of, joined


def test_doubt_is_how_near_a_probability_is_to_its_threshold_on_the_scale_of_logits() -> None:
    thresholds = Thresholds((0.5, 0.2), "balanced", FittedOn("dev", 9))
    p = np.array([[0.5, 0.2], [0.9, 0.02], [0.1, 0.5]], dtype=np.float32)
    expected = [[0.5, 0.5], [0.1, 1 / (1 + 0.25 / (0.02 / 0.98))], [0.1, 0.2]]
    assert doubts_of(p, thresholds) == pytest.approx(np.array(expected), abs=1e-6)


def test_in_a_group_doubt_is_how_near_another_label_is_to_the_most_probable() -> None:
    thresholds = Thresholds((None, None, None, 0.5), "micro", FittedOn("dev", 9), {"one": (0, 1, 2)})
    p = np.array([[0.6, 0.3, 0.1, 0.5]], dtype=np.float32)
    # Margins of log 2, log 2 and log 6.
    assert doubts_of(p, thresholds) == pytest.approx(np.array([[1 / 3, 1 / 3, 1 / 7, 0.5]]), abs=1e-6)


def case(rows: int = 60, labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 0.5, (rows, labels)), generator.normal(size=(rows, 4))


def test_a_pool_of_one_takes_the_most_doubtful_posts() -> None:
    doubts, features = case()
    chosen = choose(doubts, features, 10, Rule(0, pool=1))
    assert {choice.row for choice in chosen} == set(np.argsort(-doubts.sum(1))[:10])
    assert all(choice.label == doubts[choice.row].argmax() and not choice.is_share for choice in chosen)


def test_every_label_has_its_share_also_one_that_is_hardly_ever_in_doubt() -> None:
    doubts, features = case()
    doubts[:, 1] /= 100  # a rare label
    chosen = choose(doubts, features, 20, Rule(4, pool=1))
    shares = [choice for choice in chosen if choice.is_share]
    assert [choice.label for choice in shares].count(1) == 4
    assert {choice.row for choice in shares if choice.label == 1} == set(np.argsort(-doubts[:, 1])[:4])
    assert len(shares) == 12
    assert len({choice.row for choice in chosen}) == 20


def test_of_doubtful_posts_one_of_each_kind_is_taken() -> None:
    """Five heaps of six posts of like doubt; without clusters, one heap would have all."""
    generator = np.random.default_rng(1)
    heaps = np.repeat(np.arange(5), 6)
    features = np.eye(5)[heaps] + generator.normal(0, 0.01, (30, 5))
    doubts = (0.4 + 0.001 * (heaps == 2) + generator.uniform(0, 1e-5, 30))[:, None]
    assert sorted(heaps[choice.row] for choice in choose(doubts, features, 5, Rule(0, pool=6))) == [0, 1, 2, 3, 4]
    assert {heaps[choice.row] for choice in choose(doubts, features, 5, Rule(0, pool=1))} == {2}


def test_posts_that_are_all_alike_are_each_chosen_once() -> None:
    doubts, _ = case()
    chosen = choose(doubts, np.zeros((60, 4)), 12, Rule(0, pool=3))
    assert len({choice.row for choice in chosen}) == 12


def test_more_posts_than_there_are_gives_all() -> None:
    doubts, features = case(7)
    assert sorted(choice.row for choice in choose(doubts, features, 50, Rule(2))) == list(range(7))


def test_one_seed_chooses_the_same_posts() -> None:
    doubts, features = case(200)
    first, again = (choose(doubts, features, 20, Rule(2, seed=5)) for _ in range(2))
    assert first == again
    assert first != choose(doubts, features, 20, Rule(2, seed=6))


def test_each_kind_of_feature_weighs_alike() -> None:
    row = joined([np.array([[3.0, 4.0], [0, 0]]), np.array([[1000.0], [5.0]])])
    assert row.tolist() == [[0.6, 0.8, 1.0], [0.0, 0.0, 1.0]]
