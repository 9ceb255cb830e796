"""Comparing recipes of a teacher by cross-validation, with the same folds and seeds for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

from distill.core.output.terminal import note
from distill.core.settings.objective import Objective
from distill.core.settings.recipe import TeacherConfig
from distill.core.storage.files import write_json
from distill.data.dataset import Splits, encode_targets
from distill.data.run_folder import COMPARISON
from distill.model.distributed import on_first_process
from distill.scoring.answers import OUT_OF_FOLD
from distill.scoring.baseline import PLAIN, AgainstBaseline, Yardstick
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, paired_difference
from distill.scoring.calibration import label_rates
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Probabilities, constant_baseline
from distill.scoring.thresholds import cross_calibrated, cross_fitted
from distill.scoring.verdict import Verdict
from distill.training.folds import Folds, predict_out_of_fold
from distill.training.trainer import CheckpointFolder
from teacher.losses import teacher_loss
from teacher.train import prepare_teacher

FOLD_SEED = 13  # the same folds for every recipe and seed: differences are between recipes


@dataclass(frozen=True)
class RecipeResult:
    """One recipe's scores, and its difference from the first recipe, None for the first itself. `epoch_s` is the
    median time of an epoch of training and validation, in seconds; `epochs` are the best ones, by fold and seed.
    `verdict` judges that difference, and `baseline` the one from a baseline, in the objective of all."""

    name: str
    arm: ArmMetrics
    gain: dict[str, Estimate] | None
    epoch_s: float
    epochs: tuple[int, ...]
    verdict: Verdict | None = None
    baseline: AgainstBaseline | None = None


@dataclass(frozen=True)
class RecipeComparison:
    """All recipes, out of fold on the training split, and the constant predictor on the same rows with its
    difference from the first recipe."""

    examples: int
    folds: int
    seeds: tuple[int, ...]
    objective: Objective
    recipes: tuple[RecipeResult, ...]
    constant: ArmMetrics
    constant_gain: dict[str, Estimate]
    constant_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return asdict(self)


@dataclass(frozen=True)
class RecipePredictions:
    """One recipe's out-of-fold probabilities for the training split, float32 (N, L) for each seed, with the best
    epoch of each fold and seed and the median seconds of an epoch."""

    probabilities: list[Probabilities]
    epochs: tuple[int, ...]
    epoch_s: float


def compare_recipes(
    configs: Mapping[str, TeacherConfig],
    splits: Splits,
    folds: int,
    seeds: int,
    checkpoints: CheckpointFolder,
    yardstick: Yardstick = PLAIN,
) -> RecipeComparison:
    """Train every recipe with `seeds` seeds, counted from its own, in `folds` folds of the training split, and
    evaluate all on the same rows; dev stops each training. Writes comparison.json. Finished folds in
    `checkpoints` are not trained again.
    """
    predictions = {
        name: predict_recipe(name, config, splits, folds, seeds, checkpoints.child(name))
        for name, config in configs.items()
    }
    comparison = evaluate_recipes(configs, predictions, splits, folds, yardstick)
    on_first_process(write_json)(checkpoints.folder / COMPARISON, comparison.to_json())
    return comparison


def evaluate_recipes(
    configs: Mapping[str, TeacherConfig],
    predictions: Mapping[str, RecipePredictions],
    splits: Splits,
    folds: int,
    yardstick: Yardstick = PLAIN,
) -> RecipeComparison:
    """Score every recipe's decisions, with cross-fitted thresholds for its objective, and compare it with the
    first, and with a baseline if there is one.

    Differences are paired: the bootstrap draws the same examples and the same seeds for both."""
    targets, groups = encode_targets(splits.train, splits.labels), splits.labels.group_columns
    names = list(configs)
    objective = configs[names[0]].threshold_objective
    seeds = len(predictions[names[0]].probabilities)
    bootstrap, rates, scores = PairedBootstrap(len(targets), seeds), label_rates(targets), {}
    for name, config in configs.items():
        probabilities, own = predictions[name].probabilities, config.threshold_objective
        decisions = [cross_fitted(p, targets, own, rates=rates, groups=groups) for p in probabilities]
        honest = [cross_calibrated(p, targets, rates=rates, groups=groups) for p in probabilities]
        scores[name] = bootstrap.metric_draws(targets, honest, decisions, groups)
    reference_scores = scores[names[0]]

    def result(name: str) -> RecipeResult:
        ours, gain, verdict = scores[name], None, None
        if name != names[0]:
            gain = paired_difference(ours, reference_scores)
            verdict = Verdict.of(ours, reference_scores, objective, len(targets), yardstick.margin)
        baseline = yardstick.judge(name, objective, ours, bootstrap)
        epochs = predictions[name].epochs
        return RecipeResult(name, arm_metrics(ours), gain, predictions[name].epoch_s, epochs, verdict, baseline)

    constant = constant_baseline(splits.labels.names, targets, targets, groups)
    always = np.broadcast_to(np.isin(splits.labels.names, constant.names), targets.shape)
    one_arm = PairedBootstrap(len(targets), 1)
    constant_scores = one_arm.metric_draws(targets, [always.astype(np.float32)], [always], groups)
    return RecipeComparison(
        examples=len(targets),
        folds=folds,
        seeds=tuple(configs[names[0]].seed + number for number in range(seeds)),
        objective=objective,
        recipes=tuple(map(result, names)),
        constant=arm_metrics(constant_scores),
        constant_gain=paired_difference(constant_scores, reference_scores),
        constant_names=constant.names,
    )


def predict_recipe(
    name: str, config: TeacherConfig, splits: Splits, folds: int, seeds: int, checkpoints: CheckpointFolder
) -> RecipePredictions:
    """Train one recipe in every fold with every seed; finished folds are read from `checkpoints`."""
    probabilities: list[Probabilities] = []
    epochs: list[int] = []
    seconds: list[float] = []
    for number in range(seeds):
        seeded = replace(config, seed=config.seed + number)
        note(f"{name}, seed {seeded.seed}")
        teacher = prepare_teacher(seeded, splits)
        if number == 0:
            teacher.classifier.warn_of_texts(splits)
        same_folds = Folds.stratified(teacher.data, folds, FOLD_SEED)
        make_loss = partial(teacher_loss, seeded, teacher.targets, splits.labels.group_columns)
        out_of_fold = predict_out_of_fold(
            teacher.classifier, same_folds, make_loss, checkpoints.child(f"seed{seeded.seed}")
        )
        probabilities.append(out_of_fold.probabilities.both)
        epochs += out_of_fold.epochs
        seconds += out_of_fold.epoch_s
    return RecipePredictions(probabilities, tuple(epochs), float(np.median(seconds)) if seconds else 0.0)


def comparison_table(comparison: RecipeComparison) -> Table:
    """For the terminal."""
    c = comparison
    title = f"Out of fold on {c.examples} examples, {c.folds} folds, {len(c.seeds)} seed(s)"
    seconds = {recipe.name: f"{recipe.epoch_s:.1f}" for recipe in c.recipes}
    return table_of(c, title, "first", {"s an epoch": seconds})


def table_of(
    comparison: RecipeComparison, title: str, reference: str, more: Mapping[str, Mapping[str, str]]
) -> Table:
    """A comparison's quality and differences from its `reference`, with `more` columns, cells by the names of
    recipes, and the constant predictor in the last row."""
    c, objective = comparison, comparison.objective
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("micro-F1 [95 %]", "macro-F1 [95 %]", "micro-AP", f"{objective} F1 - {reference}", *more):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in c.constant.accuracies:
        table.add_column(f"{heading} [95 %]", justify="right")
    for recipe in c.recipes:
        gain = "" if recipe.gain is None else f"{recipe.gain[objective]:+.3f}"
        a = recipe.arm
        cells = (f"{a.micro_f1:.3f}", f"{a.macro_f1:.3f}", f"{a.micro_ap.value:.3f}")
        own = (column[recipe.name] for column in more.values())
        shares = (f"{accuracy:.3f}" for accuracy in a.accuracies.values())
        table.add_row(recipe.name, *cells, gain, *own, *shares)
    for baseline in [recipe.baseline for recipe in c.recipes[:1] if recipe.baseline is not None]:
        q, ours = baseline.quality, baseline.gain[objective]
        cells = (f"{q.micro_f1:.3f}", f"{q.macro_f1:.3f}", f"{q.micro_ap:.3f}")
        turned = f"{Estimate(-ours.value, -ours.high, -ours.low):+.3f}"  # the baseline minus the first recipe
        shares = (f"{group.accuracy:.3f}" for group in q.groups or ())
        table.add_row(baseline.name, *cells, turned, *([""] * len(more)), *shares)
    cells = (f"{c.constant.micro_f1:.3f}", f"{c.constant.macro_f1:.3f}", "")
    gain = f"{c.constant_gain[objective]:+.3f}"
    shares = (f"{accuracy.value:.3f}" for accuracy in c.constant.accuracies.values())
    table.add_row(f"always {len(c.constant_names)} labels", *cells, gain, *([""] * len(more)), *shares)
    return table


def comparison_sentences(comparison: RecipeComparison) -> list[str]:
    """Whether each recipe is better than the first, and than the baseline if there is one."""
    c = comparison
    where = f"{OUT_OF_FOLD} ({c.examples} examples, {len(c.seeds)} seed{'s' if len(c.seeds) > 1 else ''})"
    first = c.recipes[0].name
    against = [each.verdict.sentence(each.name, first, where) for each in c.recipes if each.verdict is not None]
    return against + [each.baseline.sentence for each in c.recipes if each.baseline is not None]
