"""Several recipes of a teacher on the same folds and seeds. Knows the order of trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.table import Table

from distill.core.files import write_json
from distill.core.recipe import TeacherConfig
from distill.core.terminal import note
from distill.data.dataset import Splits
from distill.data.run_folder import COMPARISON
from distill.model.classifier import Classifier
from distill.model.distributed import by_first
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Decisions, Probabilities, constant_baseline
from distill.scoring.thresholds import cross_fitted
from distill.training.folds import Folds, out_of_fold
from distill.training.trainer import TrainingData, Workspace
from teacher.losses import loss_of

FILE = COMPARISON
FOLD_SEED = 13  # the same folds for every recipe and seed: differences are between recipes


@dataclass(frozen=True)
class Compared:
    """One recipe: its figures, and its difference from the first recipe, None of the first itself. `epoch_s` is the
    mean time of an epoch of training and validation, in seconds; `epochs` are the best ones, by fold and seed."""

    name: str
    arm: ArmMetrics
    gain: dict[str, Estimate] | None
    epoch_s: float
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """All recipes, out of fold on the training split, and the constant predictor on the same rows with its
    difference from the first recipe."""

    examples: int
    folds: int
    seeds: tuple[int, ...]
    objective: str
    recipes: tuple[Compared, ...]
    constant: ArmMetrics
    constant_gain: dict[str, Estimate]
    constant_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """One recipe's answers to the training split, by models that had not seen the example: float32 (N, L) for each
    seed; and the best epoch of each fold and seed, and the median time of an epoch."""

    probabilities: list[Probabilities]
    epochs: tuple[int, ...]
    epoch_s: float


def compare(
    configs: Mapping[str, TeacherConfig], splits: Splits, folds: int, seeds: int, workspace: Workspace
) -> Comparison:
    """Train every recipe `seeds` times, counted from its own seed, in `folds` folds of the training split, and
    judge all of them on the same rows; dev stops each training. Finished folds in the workspace are kept.
    """
    answers = {
        name: train(name, config, splits, folds, seeds, workspace / name) for name, config in configs.items()
    }
    made = judge(configs, answers, splits, folds)
    by_first(write_json)(workspace.folder / FILE, made.to_json())
    return made


def judge(
    configs: Mapping[str, TeacherConfig], answers: Mapping[str, Answers], splits: Splits, folds: int
) -> Comparison:
    """Every recipe's answers, decided with thresholds for its objective, which are cross-fitted over rows.

    Differences from the first recipe are drawn in pairs: the same examples and the same seeds for both."""
    targets = splits.labels.encode([example.labels for example in splits.train])
    names = list(configs)
    seeds = len(answers[names[0]].probabilities)
    draws = PairedBootstrap(len(targets), seeds)
    scores = {}
    for name, config in configs.items():
        given = answers[name].probabilities
        decisions = [cross_fitted(p, targets, config.threshold_objective) for p in given]
        scores[name] = draws.metric_draws(targets, given, decisions)
    first = scores[names[0]]
    recipes = tuple(
        Compared(
            name,
            arm_metrics(scores[name]),
            None if name == names[0] else paired_difference(scores[name], first),
            answers[name].epoch_s,
            answers[name].epochs,
        )
        for name in names
    )
    constant = constant_baseline(splits.labels.names, targets, targets)
    always = np.broadcast_to(np.isin(splits.labels.names, constant.names), targets.shape)
    known = PairedBootstrap(len(targets), 1).metric_draws(targets, [_as_probabilities(always)], [always])
    seeds_used = tuple(configs[names[0]].seed + number for number in range(seeds))
    beside = (arm_metrics(known), paired_difference(known, first), constant.names)
    return Comparison(len(targets), folds, seeds_used, configs[names[0]].threshold_objective, recipes, *beside)


def train(
    name: str, config: TeacherConfig, splits: Splits, folds: int, seeds: int, workspace: Workspace
) -> Answers:
    """One recipe in every fold with every seed; what the workspace holds already is read."""
    targets = splits.labels.encode([example.labels for example in splits.train])
    probabilities: list[Probabilities] = []
    epochs: list[int] = []
    seconds: list[float] = []
    for number in range(seeds):
        one = replace(config, seed=config.seed + number)
        note(f"{name}, seed {one.seed}")
        classifier = Classifier.pretrained("teacher", one, splits.labels, [e.text for e in splits.train])
        data = TrainingData(classifier.encode_train(splits.train), classifier.encode(splits.dev))
        classifier.network.start_from_rates(torch.from_numpy(targets.mean(0)))
        same_folds = Folds.stratified(data, folds, FOLD_SEED)
        make_loss = partial(loss_of, one, targets)
        held_out = out_of_fold(classifier, same_folds, make_loss, workspace / f"seed{one.seed}")
        probabilities.append(held_out.probabilities.both)
        epochs += held_out.epochs
        seconds += held_out.epoch_s
    return Answers(probabilities, tuple(epochs), float(np.median(seconds)) if seconds else 0.0)


def _as_probabilities(decisions: Decisions) -> Probabilities:
    return decisions.astype(np.float32)


def to_table(made: Comparison) -> Table:
    """For the terminal."""
    title = f"Out of fold on {made.examples} examples, {made.folds} folds, {len(made.seeds)} seed(s)"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("micro-F1 [95 %]", "macro-F1 [95 %]", "micro-AP", f"{made.objective} F1 - first", "s an epoch"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in made.recipes:
        gain = "" if one.gain is None else f"{one.gain[made.objective]:+.3f}"
        cells = (f"{one.arm.micro_f1:.3f}", f"{one.arm.macro_f1:.3f}", f"{one.arm.micro_ap.value:.3f}")
        table.add_row(one.name, *cells, gain, f"{one.epoch_s:.1f}")
    c, gain = made.constant, f"{made.constant_gain[made.objective]:+.3f}"
    table.add_row(
        f"always {len(made.constant_names)} labels", f"{c.micro_f1:.3f}", f"{c.macro_f1:.3f}", "", gain, ""
    )
    return table
