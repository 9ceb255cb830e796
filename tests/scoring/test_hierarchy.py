"""Hierarchical F1, against sets of labels that are filled and counted one by one."""

from __future__ import annotations

import numpy as np

from distill.data.hierarchy import INNER, PERSUASION, is_hierarchical, with_ancestors
from distill.scoring.hierarchy import fill_ancestors
from distill.scoring.metrics import hierarchical_f1, measure_probabilities

NAMES = tuple(sorted({*PERSUASION, *INNER}))


def above(name: str) -> set[str]:
    """The labels on all ways up, by repeated steps."""
    reached: set[str] = set()
    step = {name}
    while step:
        step = {parent for each in step for parent in PERSUASION.get(each, ())}
        reached |= step
    return reached


def random_sets(seed: int, rows: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, len(NAMES))) < 0.1


def test_hierarchical_f1_counts_each_label_with_all_labels_above_it() -> None:
    gold, chosen = random_sets(1), random_sets(2)
    right = true = decided = 0
    for row in range(len(gold)):
        sets = []
        for matrix in (gold, chosen):
            names = {NAMES[i] for i in np.flatnonzero(matrix[row])}
            sets.append(names | {each for name in names for each in above(name)})
        right, true, decided = right + len(sets[0] & sets[1]), true + len(sets[0]), decided + len(sets[1])
    precision, recall = right / decided, right / true
    expected = 2 * precision * recall / (precision + recall)
    assert abs(hierarchical_f1(NAMES, gold.astype(np.float32), chosen) - expected) < 1e-12


def test_a_near_miss_counts_in_part_and_a_far_one_does_not() -> None:
    def score(gold: str, decided: str) -> float:
        targets, decisions = np.zeros((1, len(NAMES)), np.float32), np.zeros((1, len(NAMES)), bool)
        targets[0, NAMES.index(gold)], decisions[0, NAMES.index(decided)] = 1, True
        return hierarchical_f1(NAMES, targets, decisions)

    assert score("Smears", "Smears") == 1
    assert score("Smears", "Doubt") == 2 / 3  # both below Ad Hominem, below Ethos
    assert score("Smears", "Ethos") == 0.5
    assert score("Smears", "Repetition") == 0


def test_a_technique_with_two_parents_has_the_labels_above_both() -> None:
    assert with_ancestors(["Whataboutism"]) == (
        *("Whataboutism", "Distraction", "Reasoning", "Logos", "Ad Hominem", "Ethos"),
    )
    assert len(INNER) == 8
    assert len(PERSUASION.keys() - INNER) == 22
    assert not fill_ancestors(("Smears", "Doubt"), np.array([[True, False]]))[0, 1]


def test_only_labels_of_the_hierarchy_have_the_metric() -> None:
    assert is_hierarchical(NAMES)
    assert not is_hierarchical(("Smears", "Doubt"))  # SemEval-2021 counts techniques alone
    assert not is_hierarchical(("Logos", "soup"))
    gold = random_sets(3).astype(np.float32)
    probabilities = np.random.default_rng(4).random(gold.shape, dtype=np.float32)
    cuts = np.full(len(NAMES), 0.5, np.float32)
    quality = measure_probabilities(NAMES, gold, probabilities, cuts)
    assert quality.hierarchical_f1 == hierarchical_f1(NAMES, gold, probabilities >= 0.5)
    other = tuple(f"label {n}" for n in range(len(NAMES)))
    assert measure_probabilities(other, gold, probabilities, cuts).hierarchical_f1 is None
