"""What answers of others are worth where labels are few, by how noisy they are: docs/teach-from-anything.md.

Students are linear probes, which take seconds, so that many divisions can be drawn; the labels of three quarters of
the training rows are hidden, and others answer for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from distill.core.output.terminal import note
from distill.core.settings.recipe import Recipe, StudentConfig, TeacherConfig
from distill.data.dataset import Splits, encode_targets, read_splits
from distill.data.dividing.stratify import stratified_folds
from distill.model.classifier import Classifier
from distill.runtime.bundle import Kind
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Targets, macro_f1, micro_ap, micro_f1, sigmoid
from distill.scoring.thresholds import fit_thresholds
from distill.training.probe import Matrix, fit_linear, probe_features
from experiments.results import PATH, conditions, figure, named, notes, read, table, write

LABELLED = 0.25
VOTES = 3  # annotators
NOISE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FOLDS = 5
METRICS = ("micro_f1", "macro_f1", "micro_ap")
Scores = dict[str, list[dict[str, float]]]


@click.command("noisy-answers")
@click.option("--data", "datasets", multiple=True, required=True, metavar="NAME=DIR", help="Repeatable.")
@click.option("--recipe", type=PATH, required=True, help="Names the encoders of teacher and student.")
@click.option("--repeats", default=5, show_default=True, help="Divisions into folds and labelled rows.")
@click.pass_obj
def measure(results: Path, datasets: tuple[str, ...], recipe: Path, repeats: int) -> None:
    """Simulate answers of a teacher and of annotators for rows without labels (noisy-answers.json)."""
    linear = ["head_start=probe", "head.hidden_size=0", "text.trainable=false", "image.trainable=false", "epochs=0"]
    overrides = [f"{who}.{value}" for who in ("teacher", "student") for value in linear]
    settings = Recipe.load(recipe, [*overrides, "teacher.text.ngrams=add", "student.text.ngrams=off"])
    measured = {}
    for name, folder in named(datasets).items():
        splits = read_splits(folder)
        small, large = (_features(config, splits) for config in (settings.student, settings.teacher))
        measured[name] = _simulate(small, large, encode_targets(splits.train, splits.labels), repeats)
    encoders = {
        who: [Path(config.text.model).name, Path(config.image.model).name]
        for who, config in (("student", settings.student), ("teacher", settings.teacher))
    }
    fixed = {"labelled": LABELLED, "votes": VOTES, "folds": FOLDS, "repeats": repeats, "encoders": encoders}
    write(results, "noisy-answers", conditions() | fixed, measured)


def _features(config: StudentConfig | TeacherConfig, splits: Splits) -> Matrix:
    kind: Kind = "student" if isinstance(config, StudentConfig) else "teacher"
    classifier = Classifier.pretrained(kind, config, splits.labels, [example.text for example in splits.train])
    return probe_features(classifier.network, classifier.encode(splits.train))


def _simulate(small: Matrix, large: Matrix, targets: Targets, repeats: int) -> dict[str, Any]:
    """Each arm's scores with their intervals over divisions, and their gains over labels alone, paired."""
    scores: Scores = {}
    for repeat in range(repeats):
        generator = np.random.default_rng(repeat)
        for fold, held_out in enumerate(stratified_folds(targets, FOLDS, repeat), 1):
            note(f"repeat {repeat + 1} of {repeats}, division {fold} of {FOLDS}")
            rest = np.setdiff1d(np.arange(len(targets)), held_out)
            is_labelled = generator.random(len(rest)) < LABELLED
            for name, taught in _arms(large, targets, rest, is_labelled, generator).items():
                known = ~np.isnan(taught).all(axis=1)
                made = _evaluate(small, targets, rest[known], taught[known], held_out)
                scores.setdefault(name, []).append(made)
    alone = scores["labels alone"]
    return {
        name: {
            metric: {
                "value": _over(np.array([one[metric] for one in rows])),
                "gain": _over(np.array([a[metric] - b[metric] for a, b in zip(rows, alone, strict=True)])),
            }
            for metric in METRICS
        }
        for name, rows in scores.items()
    }


def _arms(
    large: Matrix,
    targets: Targets,
    rest: NDArray[np.int64],
    is_labelled: NDArray[np.bool_],
    generator: np.random.Generator,
) -> dict[str, Targets]:
    """What each arm's student learns of the rows `rest`, (M, L) in [0, 1], NaN where nothing."""
    gold = targets[rest]
    alone = np.where(is_labelled[:, None], gold, np.nan).astype(np.float32)
    probe = fit_linear(large[rest[is_labelled]], gold[is_labelled])
    answers = sigmoid((large[rest] @ probe.weight + probe.bias).astype(np.float32))
    arms = {"labels alone": alone, "a larger model's answers": _mixed(alone, answers), "all labels": gold}
    rates = gold.mean(axis=0)
    for noise in NOISE:
        false = noise * rates / np.maximum(1 - rates, 1e-6)  # as many labels too many as are missed
        marks = [
            np.where(gold == 1, generator.random(gold.shape) >= noise, generator.random(gold.shape) < false)
            for _ in range(VOTES)
        ]
        arms[f"votes, each misses {noise:.0%}"] = _mixed(alone, np.mean(marks, axis=0).astype(np.float32))
    return arms


def _mixed(labels: Targets, answers: Targets) -> Targets:
    """As `distill.training.probe.probe_targets` with equal weights: answers where there are no labels, else the
    mean of both."""
    return np.where(np.isnan(labels), answers, (labels + answers) / 2).astype(np.float32)


def _evaluate(
    small: Matrix, targets: Targets, rows: NDArray[np.int64], taught: Targets, held_out: NDArray[np.int64]
) -> dict[str, float]:
    """Of a student of these rows, on the rows held out; thresholds are fitted there too, in other halves."""
    probe = fit_linear(small[rows], taught)
    p = sigmoid((small[held_out] @ probe.weight + probe.bias).astype(np.float32))
    y = targets[held_out]
    decisions = np.zeros(y.shape, dtype=bool)
    for half in stratified_folds(y, 2, 0):
        other = np.setdiff1d(np.arange(len(y)), half)
        decisions[half] = fit_thresholds(p[other], y[other], "balanced", "half").apply(p[half])
    return {"micro_f1": micro_f1(y, decisions), "macro_f1": macro_f1(y, decisions), "micro_ap": micro_ap(y, p)}


def _over(values: NDArray[np.float64]) -> dict[str, float]:
    """The mean and the interval that a bootstrap of the divisions gives."""
    draws = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    spread = Estimate.of(float(values.mean()), values[draws].mean(axis=1))
    return {"value": spread.value, "low": spread.low, "high": spread.high}


def noisy_answers() -> str:
    """Micro-AP of each arm, and its gain over labels alone, on each dataset."""
    result = read("noisy-answers")
    datasets = [name for name in result if name != "conditions"]
    rows = [
        (
            arm,
            *(
                cell
                for name in datasets
                for cell in (
                    f"{result[name][arm]['micro_ap']['value']['value']:.3f}",
                    "" if arm == "labels alone" else figure(result[name][arm]["micro_ap"]["gain"], "+.3f"),
                )
            ),
        )
        for arm in result[datasets[0]]
    ]
    headings = "taught by" + "".join(f" | {name} | - labels alone" for name in datasets)
    c = result["conditions"]
    student, teacher = (" and ".join(c["encoders"][who]) for who in ("student", "teacher"))
    return table(headings, rows) + notes(
        f"Micro-AP on held-out rows, a mean of {c['repeats']} x {c['folds']} divisions, with intervals over them. "
        "A quarter of the training rows has its labels; the answers are for all rows.",
        f"Student: a linear probe of {student}; larger model: one of {teacher} with n-grams, fitted to the same "
        "quarter.",
        f"Votes: {c['votes']} simulated annotators, each of whom misses that share of the true labels and gives as "
        "many false ones, independently; the share of votes is the answer.",
    )
