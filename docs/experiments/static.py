"""What a static text tower is worth beside the encoder that it was made of: docs/results-teacher.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from distill.core.errors import RunError
from distill.core.settings.recipe import TeacherConfig
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.data.dataset import Splits, read_splits
from distill.data.run_folder import METRICS, read_run
from distill.model.soft_targets import SoftTargets
from distill.scoring.probabilities import to_probabilities
from experiments.results import commit_option, conditions, f1_cells, figure, named, notes, read, table, write
from experiments.teachers import stored_answers
from teacher.compare import RecipePredictions, evaluate_recipes
from teacher.soft_targets import FOLD_FILE

DATASETS = ("film genres", "propaganda memes")
WHOLE = "text + image + n-grams"  # the baseline that all are compared with, row by row
PUBLISHED = ("text", "text + image")  # other baselines of the encoder, from baselines.json


@click.command("static")
@click.option("--data", "datasets", multiple=True, required=True, metavar="NAME=DATA", help="Repeatable.")
@click.option("--comparison", "comparisons", multiple=True, required=True, metavar="NAME=DIR", help="Repeatable.")
@click.option("--baseline", "baselines", multiple=True, required=True, metavar="NAME=RUN", help="Repeatable.")
@click.option("--student", "students", multiple=True, metavar="NAME=RUN", help="Repeatable.")
@commit_option
@click.pass_obj
def collect(
    results: Path,
    datasets: tuple[str, ...],
    comparisons: tuple[str, ...],
    baselines: tuple[str, ...],
    students: tuple[str, ...],
    commit: str,
) -> None:
    """Judge finished comparisons of static teachers beside a `distill baseline` run of the encoder that they were
    made of, on the same rows and folds (static.json); with them, students of that run.

    Every NAME is the dataset's.
    """
    folders, runs, taught = named(comparisons), named(baselines), named(students)
    judged = {name: _judged(folders[name], runs[name], read_splits(data)) for name, data in named(datasets).items()}
    for name, run in taught.items():
        judged[name]["student"] = _student(run)
    write(results, "static", conditions(packages=("model2vec",), runs_of_commit=commit), judged)


def _judged(folder: Path, run: Path, splits: Splits) -> dict[str, Any]:
    """The comparison's teachers, each with its difference from the run of the whole baseline."""
    config = build_dataclass(TeacherConfig, read_run(run)["config"], str(run))
    configs, answers, folds = stored_answers(folder, splits)
    if config.folds != folds:
        raise RunError(f"{run}: has {config.folds} folds, and {folder} {folds}; give --folds {config.folds}")
    whole = RecipePredictions([_out_of_fold(run, folds, splits)], (), 0.0)
    alike = {name: replace(each, threshold_objective=config.threshold_objective) for name, each in configs.items()}
    comparison = evaluate_recipes({WHOLE: config, **alike}, {WHOLE: whole, **answers}, splits, folds)
    trained = next((each for each in configs.values() if each.epochs), None)
    return {
        "encoders": {"text": Path(config.text.model).name, "image": Path(config.image.model).name},
        "width": next(iter(configs.values())).text.static_width,
        "max_tokens": config.text.max_tokens,
        "trained": None
        if trained is None
        else {key: getattr(trained, key) for key in ("epochs", "optimizer", "head_learning_rate", "batch_size")},
        "comparison": comparison.to_json(),
    }


def _out_of_fold(run: Path, folds: int, splits: Splits) -> Any:
    """The run's probabilities (N, L) of each training example by the model of the fold that held it out."""
    result = np.full((len(splits.train), len(splits.labels)), np.nan, dtype=np.float32)
    for number in range(1, folds + 1):
        fold = SoftTargets.read(run / FOLD_FILE.format(number))
        if fold.ids != tuple(example.id for example in splits.train) or fold.labels != splits.labels.names:
            raise RunError(f"{run}: was made from other examples; make the baseline of this dataset again")
        rows = fold.held_out_mask
        result[rows] = to_probabilities(fold.outputs.logits[rows], splits.labels.group_columns)
    return result


def _student(run: Path) -> dict[str, Any]:
    """The first row of a student's metrics, out of fold, and what it was trained with."""
    config = read_run(run)["config"]
    keys = ("epochs", "optimizer", "head_learning_rate", "batch_size", "distill")
    return {
        "settings": {key: config[key] for key in keys},
        "quality": read_json(run / METRICS, RunError)["quality"][0],
    }


def static(dataset: str) -> str:
    """One dataset's static teachers beside the encoder that they were made of."""
    run, source = read("static")[dataset], read("baselines")[dataset]["comparison"]
    text, comparison = run["encoders"]["text"], run["comparison"]
    objective = comparison["objective"]
    published = {row["name"]: row["arm"] for row in source["recipes"]}
    rows = [
        (
            f"{text}: {name}",
            *_cells(published[name]),
            "",
        )  # another order of bootstrap draws: no difference in pairs
        for name in PUBLISHED
    ]
    for row in comparison["recipes"]:
        gain = row["gain"]
        name = f"{text}: {row['name']}" if gain is None else row["name"]
        rows.append((name, *_cells(row["arm"]), "" if gain is None else figure(gain["micro_ap"], "+.3f")))
    if student := run.get("student"):
        rows.append((f"static + image, taught by {text}: {WHOLE}", *f1_cells(student["quality"]), ""))
    headings = f"| micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] | micro-AP - {text}: {WHOLE}"
    lines = [
        f"{comparison['examples']:,} training examples out of fold, {comparison['folds']} folds; "
        f"{run['encoders']['image']} frozen; vectors {run['width']} wide, at most {run['max_tokens']} tokens; "
        f"thresholds cross-fitted for the {objective} objective.",
    ]
    if trained := run["trained"]:
        lines.append(
            f"Trained: from the probe on, {trained['epochs']} epochs at most, {trained['optimizer']}, "
            f"{trained['head_learning_rate']:g}, one seed."
        )
    if student:
        taught = student["settings"]
        lines.append(
            f"Taught: from the probe on, {taught['epochs']} epochs at most, {taught['optimizer']}, "
            f"{taught['head_learning_rate']:g}, one seed, in each fold by the model that had not seen its rows."
        )
    return table(headings, rows) + notes(*lines)


def _cells(arm: dict[str, Any]) -> tuple[str, ...]:
    return tuple(figure(arm[name]) for name in ("micro_f1", "macro_f1", "micro_ap"))
