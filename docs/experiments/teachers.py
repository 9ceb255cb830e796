"""Which teacher, and what an epoch costs: docs/results-teacher.md."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import click
import torch

from distill.core.errors import RunError
from distill.core.settings.objective import Objective
from distill.core.settings.recipe import Recipe, TeacherConfig
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.data.dataset import Splits, read_splits
from distill.data.run_folder import COMPARISON, START_FILE
from distill.model.classifier import Classifier
from distill.training.trainer import CheckpointFolder, TrainingData, train_model
from experiments.results import (
    PATH,
    commit_option,
    conditions,
    data_option,
    figure,
    measured,
    named,
    notes,
    processor,
    read,
    table,
    timed,
    write,
)
from teacher.compare import RecipePredictions, evaluate_recipes, predict_recipe
from teacher.losses import teacher_loss

EPOCHS = {
    "text alone": "teacher.head.modalities=text",
    "concat": "",
    "concat, everything augmented": "teacher.augment.word_edit_rate=0.1 teacher.augment.token_mask_rate=0.1 "
    "teacher.augment.image_strength=0.5",
    "transformer": "teacher.head.fusion=transformer teacher.head.hidden_size=256 teacher.head_start=random",
}
VARIANTS = ("fusion on films", "steps on films")
F1 = "micro-F1 [95 %] | macro-F1 [95 %]"


@click.command("comparisons")
@data_option
@click.option("--comparison", "folders", multiple=True, required=True, metavar="NAME=DIR", help="Repeatable.")
@click.pass_obj
def judge_comparisons(results: Path, data: Path, folders: tuple[str, ...]) -> None:
    """Judge finished comparisons for each objective of the thresholds (teachers.json).

    Each DIR was written by `distill compare-teachers`, which judges for the objective of the recipe alone.
    """
    splits = read_splits(data)
    judged = {name: comparison(folder, splits) for name, folder in named(folders).items()}
    write(results, "teachers", conditions(splits.train), {"dev": len(splits.dev), "comparisons": judged})


def comparison(folder: Path, splits: Splits) -> dict[str, Any]:
    """One comparison under every objective, from the folds' answers in its folder; and its recipe's settings."""
    configs, answers, folds = stored_answers(folder, splits)
    objectives = {}
    for objective in get_args(Objective):
        meant = {name: replace(config, threshold_objective=objective) for name, config in configs.items()}
        objectives[objective] = evaluate_recipes(meant, answers, splits, folds).to_json()
    first = next(iter(configs.values()))
    settings = {key: value for key, value in asdict(first).items() if not isinstance(value, dict)}
    encoders = {"text": Path(first.text.model).name, "image": Path(first.image.model).name}
    return {"settings": settings | encoders, "objectives": objectives}


def stored_answers(
    folder: Path, splits: Splits
) -> tuple[dict[str, TeacherConfig], dict[str, RecipePredictions], int]:
    """The settings of a finished comparison's teachers, the folds' answers by name, and how many folds."""
    if not (folder / COMPARISON).is_file():
        raise RunError(f"{folder}: no finished comparison; go on with distill compare-teachers --resume")
    asked = read_json(folder / START_FILE, RunError)["depends_on"]
    folds, seeds = asked["folds"], asked["seeds"]
    configs = {name: build_dataclass(TeacherConfig, tree, name) for name, tree in asked["tries"].items()}
    answers = {
        name: predict_recipe(name, config, splits, folds, seeds, CheckpointFolder(folder / name, resume=True))
        for name, config in configs.items()
    }
    return configs, answers, folds


@click.command("epochs")
@data_option
@click.option("--recipe", type=PATH)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--rounds", default=5, show_default=True)
@click.pass_obj
def measure_epochs(results: Path, data: Path, recipe: Path | None, overrides: tuple[str, ...], rounds: int) -> None:
    """Time an epoch of several teachers beside one of a text-only teacher (epochs.json).

    They take turns in one process, so that noise hits all alike. Features of a frozen image tower are cached before
    anything is timed; writing the checkpoint is part of an epoch.
    """
    splits = read_splits(data)
    found = conditions(splits.train, threads=torch.get_num_threads(), rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        run = {}
        for name, settings in EPOCHS.items():
            config = Recipe.load(recipe, (*overrides, *settings.split())).teacher
            run[name] = one_epoch(config, splits, Path(folder) / name)
        turns = [{name: timed(epoch)[1] for name, epoch in run.items()} for _ in range(1 + rounds)]
    turns = turns[1:]  # the first warms up
    seconds = {name: [turn[name] for turn in turns] for name in EPOCHS}
    ratios = {name: statistics.median(turn[name] / turn["text alone"] for turn in turns) for name in EPOCHS}
    write(results, "epochs", found, {"seconds": seconds, "ratio": ratios})


def one_epoch(config: TeacherConfig, splits: Splits, folder: Path) -> Callable[[], object]:
    """Trains one more epoch of one teacher whenever it is called."""
    classifier = Classifier.pretrained("teacher", config, splits.labels, [e.text for e in splits.train])
    data = TrainingData(classifier.encode_train(splits.train), classifier.encode(splits.dev))
    checkpoints = CheckpointFolder(folder, resume=False)

    def epoch() -> object:
        loss = teacher_loss(config, data.train.targets)
        return train_model(classifier.network, config, data, loss, checkpoints, epochs=1)

    return epoch


@click.command("teacher-variants")
@click.option("--comparison", "folders", multiple=True, required=True, metavar="NAME=DIR", help="Repeatable.")
@commit_option
@click.pass_obj
def collect_variants(results: Path, folders: tuple[str, ...], commit: str) -> None:
    """Add finished comparisons of what a teacher might do otherwise (teacher-variants.json)."""
    found = measured("teacher-variants")
    for name, folder in named(folders).items():
        first = next(iter(read_json(folder / START_FILE, RunError)["depends_on"]["tries"].values()))
        settings = {key: value for key, value in first.items() if not isinstance(value, dict)}
        encoders = {tower: Path(first[tower]["model"]).name for tower in ("text", "image")}
        compared = read_json(folder / COMPARISON, RunError)
        found[name] = compared | {"settings": settings | encoders, "runs_of_commit": commit}
    write(results, "teacher-variants", conditions(), found)


def variants(name: str) -> str:
    """Every teacher of a comparison, and its differences from the first, in pairs."""
    whole, rows = read("teacher-variants"), []
    tree, cpu = whole[name], whole["conditions"]["cpu"]
    for one in tree["recipes"]:
        gain = one["gain"] and [figure(one["gain"][key], "+.3f") for key in ("balanced", "micro_ap")]
        cells = (figure(one["arm"][key]) for key in ("micro_f1", "macro_f1", "micro_ap"))
        rows.append((one["name"], *cells, *(gain or ("", "")), f"{one['epoch_s']:.0f}"))
    s = tree["settings"]
    headings = f" | {F1} | micro-AP [95 %] | mean of both F1 - first | micro-AP - first | s an epoch"
    return table(headings, rows) + notes(
        f"{tree['examples']:,} training examples out of fold, {tree['folds']} folds, seed "
        f"{', '.join(map(str, tree['seeds']))}; {s['text']} and {s['image']}, {s['epochs']} epochs at "
        f"{s['learning_rate']:g} from the probe on, {s['precision']}; one core of {cpu}.",
        "Thresholds cross-fitted for the mean of both F1.",
    )


def teachers(name: str) -> str:
    """Every teacher of a comparison: F1 by objective of the thresholds, and AP, which needs none."""
    tree, (compared, balanced, micro, macro) = read("teachers"), _objectives(name)
    rows = []
    for recipes in zip(balanced["recipes"], micro["recipes"], macro["recipes"], strict=True):
        both, best_micro, best_macro = (recipe["arm"] for recipe in recipes)
        f1 = (both["micro_f1"], both["macro_f1"], best_micro["micro_f1"], best_macro["macro_f1"])
        rows.append((recipes[0]["name"], *map(figure, (*f1, both["micro_ap"]))))
    constant = (figure(balanced["constant"][key]) for key in ("micro_f1", "macro_f1"))
    rows.append((f"always {', '.join(balanced['constant_names'])}", *constant, "", "", ""))
    s, seeds = compared["settings"], balanced["seeds"]
    means = f"means over the seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]} alone"
    headings = f" | {F1} | micro-F1, objective micro | macro-F1, objective macro | micro-AP"
    return table(headings, rows) + notes(
        f"{balanced['examples']} training memes out of fold, {balanced['folds']} folds, {means}; {tree['dev']} dev "
        "memes stop each training.",
        f"{s['image']} + {s['text']}, at most {s['epochs']} epochs, {s['precision']}; "
        f"{processor(tree['conditions'])}.",
        "Thresholds cross-fitted over rows, for the mean of both F1 unless the column says otherwise.",
    )


def gains(name: str) -> str:
    """Differences from the first teacher of a comparison, in pairs."""
    _, balanced, micro, _ = _objectives(name)
    first, *others = balanced["recipes"]
    pairs = [
        (one["name"], best["gain"], one["gain"]) for one, best in zip(others, micro["recipes"][1:], strict=True)
    ]
    pairs.append(("constant", micro["constant_gain"], balanced["constant_gain"] | {"micro_ap": None}))
    rows = []
    for what, best, gain in pairs:
        values = (best["micro"], *(gain[key] for key in ("micro", "macro", "balanced", "micro_ap")))
        rows.append((f"{what} - {first['name']}", *(figure(value, "+.3f") for value in values)))
    return table(" | micro-F1, objective micro | micro-F1 | macro-F1 | mean of both | micro-AP", rows)


def _objectives(name: str) -> tuple[Any, Any, Any, Any]:
    """A comparison, and how it was judged for both F1, for micro-F1 and for macro-F1."""
    compared = read("teachers")["comparisons"][name]
    return compared, *(compared["objectives"][objective] for objective in ("balanced", "micro", "macro"))


def epochs() -> str:
    """What an epoch costs beside one of a text-only teacher."""
    tree, rows = read("epochs"), []
    for name, seconds in tree["seconds"].items():
        spread = f"{statistics.median_high(seconds):.1f} ({min(seconds):.1f} – {max(seconds):.1f})"
        rows.append((name, spread, f"{tree['ratio'][name]:.2f}"))
    c, rounds = tree["conditions"], len(tree["seconds"]["concat"])
    return table(" | s an epoch, median (least – most) | of text alone, median of the rounds", rows) + notes(
        f"{c['examples']} memes, {rounds} rounds in turns, {c['threads']} thread(s), {processor(c)}."
    )
