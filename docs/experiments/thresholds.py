"""Ways to choose thresholds, judged on rows that they were not fitted on: docs/results-teacher.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from distill.core.settings.objective import Objective
from distill.data.dataset import Splits, encode_targets, read_splits
from distill.data.dividing.stratify import stratified_folds
from distill.scoring.bootstrap import estimate
from distill.scoring.metrics import Probabilities, Targets, bootstrap_draws, sigmoid
from distill.scoring.thresholds import fit_thresholds, objective_value
from experiments.results import conditions, figure, named, notes, read, table, write

FOLDS, SEED = 5, 13
DIVISIONS = 20
SIZES = (63, 200, 600)  # rows that thresholds are fitted on
GRID = np.linspace(0.02, 0.98, 97)
WEIGHT = 10  # positives of a label that weigh as much as the shared threshold
Way = Callable[[Probabilities, Targets, Objective], NDArray[np.floating[Any]]]


@click.command("thresholds")
@click.option("--data", "folders", multiple=True, required=True, metavar="NAME=DIR", help="Dataset; repeatable.")
@click.pass_obj
def measure(results: Path, folders: tuple[str, ...]) -> None:
    """Judge ways to choose thresholds on rows that they were not fitted on (thresholds.json).

    The answers are those of logistic regression on TF-IDF of the texts, out of fold on train. Each way is fitted on
    some rows and decides all others, in several random divisions, the same ones for every way.
    """
    sets = {}
    for name, folder in named(folders).items():
        splits = read_splits(folder)
        targets, logits = encode_targets(splits.train, splits.labels), out_of_fold(splits)
        sizes = {
            size: {objective: judge(sigmoid(logits), targets, size, objective) for objective in get_args(Objective)}
            for size in SIZES
        }
        sets[name] = {"examples": len(targets), "labels": len(splits.labels), "sizes": sizes}
        click.echo(f"{name}: {sizes}")
    measured_with = conditions(packages=["scikit-learn"], divisions=DIVISIONS, folds=FOLDS, seed=SEED)
    write(results, "thresholds", measured_with, {"sets": sets})


def out_of_fold(splits: Splits) -> NDArray[np.float32]:
    """Logits of train (N, L), each row's by a model that was fitted on other rows."""
    texts, targets = (
        np.array([example.text for example in splits.train]),
        encode_targets(splits.train, splits.labels),
    )
    logits = np.zeros(targets.shape, dtype=np.float32)
    for part in stratified_folds(targets, FOLDS, SEED):
        rest = np.setdiff1d(np.arange(len(targets)), part)
        words = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit(texts[rest])
        model = OneVsRestClassifier(LogisticRegression(C=10, max_iter=500))
        model.fit(words.transform(texts[rest]), targets[rest].astype(int))
        logits[part] = model.decision_function(words.transform(texts[part]))
    return logits


def judge(p: Probabilities, targets: Targets, size: int, objective: Objective) -> dict[str, Any]:
    """Each way's value of the objective, and by how much ours is better, with intervals over the divisions."""
    values: dict[str, list[float]] = {name: [] for name in WAYS}
    for seed in range(DIVISIONS):
        order = np.random.default_rng(seed).permutation(len(targets))
        fitted, rest = order[:size], order[size:]
        for name, way in WAYS.items():
            decisions = p[rest] >= way(p[fitted], targets[fitted], objective)
            values[name].append(objective_value(targets[rest], decisions, objective))
    weights = (
        np.vstack([np.ones(DIVISIONS), bootstrap_draws(DIVISIONS, 2000, np.random.default_rng(0))]) / DIVISIONS
    )
    draws = {name: weights @ np.array(each) for name, each in values.items()}
    return {
        name: {"value": asdict(estimate(each)), "distill_minus": asdict(estimate(draws["distill"] - each))}
        for name, each in draws.items()
    }


def shared(p: Probabilities, targets: Targets, objective: Objective) -> NDArray[np.floating[Any]]:
    """One for all labels (L,), the best of a grid."""
    values = [objective_value(targets, p >= cut, objective) for cut in GRID]
    return np.full(targets.shape[1], GRID[int(np.argmax(values))])


def own_best(p: Probabilities, targets: Targets, objective: Objective) -> NDArray[np.floating[Any]]:
    """Each label's own (L,): the best of a grid by its own F1."""
    columns = (
        [objective_value(targets[:, [i]], p[:, [i]] >= cut, "micro") for cut in GRID] for i in range(p.shape[1])
    )
    return np.array([GRID[int(np.argmax(values))] for values in columns])


def shrunk(p: Probabilities, targets: Targets, objective: Objective) -> NDArray[np.floating[Any]]:
    """Each label's own, drawn towards the shared one the more the fewer positives it has."""
    share = targets.sum(0) / (targets.sum(0) + WEIGHT)
    own, one = own_best(p, targets, objective), shared(p, targets, objective)
    mixed: NDArray[np.floating[Any]] = share * own + (1 - share) * one
    return mixed


WAYS: dict[str, Way] = {
    "0.5": lambda p, targets, objective: np.full(targets.shape[1], 0.5),
    "shared": shared,
    "own best": own_best,
    "shrunk": shrunk,
    "distill": lambda p, targets, objective: fit_thresholds(p, targets, objective, "rows").array(),
}


def ways() -> str:
    """All ways by the mean of both F1, and what ours is worth beside one threshold for all, for each objective."""
    tree, rows = read("thresholds"), []
    for name, one in tree["sets"].items():
        for size, by_objective in one["sizes"].items():
            values = (f"{by_objective['balanced'][way]['value']['value']:.3f}" for way in WAYS)
            better = (
                figure(by_objective[objective][way]["distill_minus"], "+.3f")
                for way, objective in (("shared", "balanced"), ("shrunk", "balanced"), ("shared", "micro"))
            )
            macro = figure(by_objective["macro"]["shared"]["distill_minus"], "+.3f")
            rows.append((f"{name}, {one['labels']} labels", size, *values, *better, macro))
    headings = (
        "set | rows fitted on | 0.5 | one for all | own best | own best, shrunk | distill | distill - one for all "
    )
    headings += "| distill - shrunk | the same for micro-F1, - one for all | for macro-F1, - one for all"
    c = tree["conditions"]
    return table(headings, rows) + notes(
        f"The mean of micro- and macro-F1 unless the column says otherwise, over {c['divisions']} random "
        "divisions; intervals over divisions.",
        f"Answers of logistic regression on TF-IDF, out of fold ({c['folds']} folds); scikit-learn "
        f"{c['packages']['scikit-learn']}.",
    )
