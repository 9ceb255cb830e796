"""Which posts to label next: F1 against the number of labels by several rules beside chance, docs/select.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from bench.report.kit import plot as kit
from bench.report.kit.style import GRID, MUTED, OTHERS, OWN, variables
from distill.data.checks import content_hash
from distill.data.dataset import encode_targets, read_splits
from distill.data.dividing.stratify import stratified_folds
from distill.model.soft_targets import SoftTargets
from distill.scoring.bootstrap import estimate
from distill.scoring.metrics import (
    Probabilities,
    Targets,
    bootstrap_draws,
    logit,
    macro_ap,
    macro_f1,
    micro_ap,
    micro_f1,
    positive_rates,
    sigmoid,
)
from distill.scoring.thresholds import Thresholds, fit_thresholds
from distill.training.selection.rule import Doubts, Features, Rule, choose, doubts_of, joined
from experiments.results import conditions, figure, named, notes, read, table, write
from teacher.soft_targets import FILE

START, STEP, END = 100, 100, 600  # labelled rows
REPEATS, FOLDS, INNER, SEED = 7, 5, 3, 13
WIDTH, PENALTY = 256, 3.0  # of the features, and the inverse strength of the probe's penalty
DEFAULT = "doubt + unlikeness, shares alone"  # of distill select
METRICS: dict[str, Callable[..., float]] = {
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
    "micro_ap": micro_ap,
    "macro_ap": macro_ap,
}
DRAWN = {"chance": MUTED, "doubt": OTHERS[0], DEFAULT: OWN}
Picker = Callable[[Doubts, Features, np.random.Generator], list[int]]


def by_rule(share: float, pool: int) -> Picker:
    """The rule with this share of the rows divided among the labels."""

    def pick(doubts: Doubts, features: Features, _: np.random.Generator) -> list[int]:
        rule = Rule(int(share * STEP / doubts.shape[1]), pool, SEED)
        return [choice.row for choice in choose(doubts, features, STEP, rule)]

    return pick


def diverse(doubts: Doubts, features: Features, _: np.random.Generator) -> list[int]:
    """Of clusters of all rows, whatever the doubt."""
    even = np.ones_like(doubts)
    return [choice.row for choice in choose(even, features, STEP, Rule(0, len(features) // STEP + 1, SEED))]


RULES: dict[str, Picker] = {
    "chance": lambda doubts, _, generator: generator.permutation(len(doubts))[:STEP].tolist(),
    "doubt": by_rule(0, 1),
    "unlikeness": diverse,
    "doubt + unlikeness": by_rule(0, 5),
    "doubt + shares": by_rule(0.5, 1),
    "doubt + unlikeness + shares": by_rule(0.5, 5),
    "doubt + unlikeness, shares alone": by_rule(1, 5),
}


@click.command("select")
@click.option("--data", "folders", multiple=True, required=True, metavar="NAME=DIR", help="Dataset; repeatable.")
@click.option("--run", "runs", multiple=True, required=True, metavar="NAME=DIR", help="distill baseline's of each.")
@click.pass_obj
def measure(results: Path, folders: tuple[str, ...], runs: tuple[str, ...]) -> None:
    """Label more and more of train by several rules, and measure on rows held out (select.json).

    The features are those of the runs' frozen encoders, the models linear probes on them.
    """
    sets: dict[str, Any] = {}
    for name, folder in named(folders).items():
        splits = read_splits(folder)
        targets = encode_targets(splits.train, splits.labels)
        outputs = SoftTargets.read(named(runs)[name] / FILE).select([content_hash(e) for e in splits.train])
        features = PCA(min(WIDTH, len(targets)), random_state=SEED).fit_transform(
            joined([outputs.text, outputs.image])
        )
        curves = {rule: [curve(features, targets, rule, repeat) for repeat in range(REPEATS)] for rule in RULES}
        sets[name] = {"examples": len(targets), "labels": len(splits.labels), "rules": summary(curves)}
        click.echo(f"{name}: {sets[name]}")
        measured_with = conditions(packages=["scikit-learn"], repeats=REPEATS, width=WIDTH, penalty=PENALTY)
        write(results, "select", measured_with, {"sets": sets})


def curve(features: Features, targets: Targets, rule: str, repeat: int) -> list[tuple[float, ...]]:
    """Each of METRICS on held-out rows, after each step. A repeat has one held-out fold and one start for all
    rules."""
    held_out = stratified_folds(targets, FOLDS, repeat)[0]
    rest = np.setdiff1d(np.arange(len(targets)), held_out)
    generator = np.random.default_rng(repeat)
    labelled, rows = generator.permutation(rest)[:START], []
    while True:
        model, thresholds = fit(features[labelled], targets[labelled])
        p = model(features[held_out])
        decisions = thresholds.apply(p)
        rows.append(
            tuple(f(targets[held_out], decisions if name.endswith("f1") else p) for name, f in METRICS.items())
        )
        left = np.setdiff1d(rest, labelled)
        if len(labelled) >= END or len(left) < STEP:
            return rows
        doubts = doubts_of(model(features[left]), thresholds)
        labelled = np.concatenate([labelled, left[RULES[rule](doubts, features[left], generator)]])


Model = Callable[[Features], Probabilities]


def fit(features: Features, targets: Targets) -> tuple[Model, Thresholds]:
    """A probe on all rows, and thresholds for the mean of both F1 from probes on parts of them."""
    out_of_fold = np.zeros(targets.shape, dtype=np.float32)
    for part in stratified_folds(targets, INNER, SEED):
        rest = np.setdiff1d(np.arange(len(targets)), part)
        out_of_fold[part] = probe(features[rest], targets[rest])(features[part])
    return probe(features, targets), fit_thresholds(out_of_fold, targets, "balanced", "labelled rows")


def probe(features: Features, targets: Targets) -> Model:
    """A logistic regression for each label; the rate of one that is on no row or on all."""
    weights, biases = np.zeros((features.shape[1], targets.shape[1])), np.zeros(targets.shape[1])
    for label, column in enumerate(targets.T):
        if 0 < column.sum() < len(column):
            model = LogisticRegression(C=PENALTY, max_iter=1000, tol=1e-3).fit(features, column)
            weights[:, label], biases[label] = model.coef_[0], model.intercept_[0]
        else:
            biases[label] = np.clip(logit(positive_rates(column[:, None])), -8, 8)[0]
    return partial(_probabilities, weights, biases)


def _probabilities(weights: NDArray[Any], biases: NDArray[Any], features: Features) -> Probabilities:
    return sigmoid((features @ weights + biases).astype(np.float32))


def summary(curves: Mapping[str, list[list[tuple[float, ...]]]]) -> dict[str, Any]:
    """Of each rule, by metric: the means at each number of labels, and the mean gain over chance after the start,
    with intervals over the repeats."""
    weights = np.vstack([np.ones(REPEATS), bootstrap_draws(REPEATS, 2000, np.random.default_rng(0))]) / REPEATS
    arrays = {rule: np.array(each) for rule, each in curves.items()}  # (repeats, steps, metrics)
    result: dict[str, Any] = {}
    for rule, values in arrays.items():
        gain = (values - arrays["chance"])[:, 1:].mean(1)
        result[rule] = {
            metric: {
                "at": [asdict(estimate(weights @ values[:, step, i])) for step in range(values.shape[1])],
                "gain": asdict(estimate(weights @ gain[:, i])),
            }
            for i, metric in enumerate(METRICS)
        }
    return result


def gains() -> str:
    """Each rule's mean gain over chance."""
    tree = read("select")
    rows = [
        (name, rule, *(figure(values[metric]["gain"], "+.3f") for metric in METRICS))
        for name, one in tree["sets"].items()
        for rule, values in one["rules"].items()
        if rule != "chance"
    ]
    c = tree["conditions"]
    headings = "set | rule | micro-F1 - chance | macro-F1 - chance | micro-AP - chance | macro-AP - chance"
    return table(headings, rows, left=2) + notes(
        f"From {START} random posts on, {STEP} more at a time, up to {END} or until too few are left: the mean of "
        f"all steps after the start, on held-out rows of train; intervals over {c['repeats']} repeats, each with a "
        "held-out fifth and a start of its own, the same for every rule.",
        f"Linear probes on {c['width']} principal components of the features of mpnet and ResNet50, frozen; "
        "thresholds for the mean of both F1, from folds of the labelled posts.",
    )


def drawn() -> str:
    """Macro-F1 against the number of labels: an SVG file in the reader's light or dark."""
    sets = read("select")["sets"]
    plot = _plot(sets).svg("select")
    head, _, rest = str(plot).partition(">")
    style = f"{variables()} text{{font-family:sans-serif}}"
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


@kit.drawing()
def _plot(sets: Mapping[str, Any]) -> kit.Plot:
    figure_ = kit.canvas(len(sets) * 130 + 24)
    for i, (name, one) in enumerate(sets.items()):
        ax = kit.place(figure_, 36, 22 + i * 130, kit.WIDTH - 36 - 138, 86)
        _curves(ax, name, one["rules"])
    return kit.Plot(figure_, f"Macro-F1 against labelled posts on {', '.join(sets)}; the table has the gains")


def _curves(ax: Axes, name: str, rules: Mapping[str, Any]) -> None:
    for i, (rule, colour) in enumerate(DRAWN.items()):
        points = rules[rule]["macro_f1"]["at"]
        labels = [START + STEP * step for step in range(len(points))]
        low, high = ([point[end] for point in points] for end in ("low", "high"))
        ax.plot(labels, [point["value"] for point in points], color=colour.drawn, linewidth=1.5)
        ax.fill_between(labels, low, high, color=colour.drawn, alpha=0.12, linewidth=0)
        kit.beside(ax, rule, (1, 1), (8, -8 - 13 * i), fontsize=kit.SMALL, color=colour.drawn)
    ax.grid(axis="y")
    ax.spines["bottom"].set_color(GRID.drawn)
    ax.set_title(f"{name}: macro-F1 by labelled posts", loc="left", fontsize=kit.SMALL)
