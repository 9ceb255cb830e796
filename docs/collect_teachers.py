"""Finished comparisons of teachers, judged for each objective of the thresholds: docs/results/teachers.json.

    python docs/collect_teachers.py --data DIR --comparison NAME=DIR ... [--epochs FILE]

Each DIR was written by distill compare-teachers, and its folds' answers are read from there. Trains nothing: a
comparison that is not finished is refused.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import click

from bench.measure.machine import describe
from distill.core.errors import RunError
from distill.core.files import read_json, write_json
from distill.core.recipe import Objective, TeacherConfig
from distill.core.schema import build
from distill.data.dataset import Splits, read_splits
from distill.data.run_folder import START_FILE
from distill.training.trainer import Workspace
from teacher.compare import RecipePredictions, evaluate_recipes, predict_recipe

OUT = Path(__file__).parent / "results" / "teachers.json"


def collected(folder: Path, splits: Splits) -> dict[str, Any]:
    """One comparison under every objective, and what its recipes differ in."""
    asked = read_json(folder / START_FILE, RunError)["depends_on"]
    configs = {name: build(TeacherConfig, tree, name) for name, tree in asked["tries"].items()}
    answers = {name: stored(folder, name, config, splits, asked) for name, config in configs.items()}
    by_objective = {}
    for objective in get_args(Objective):
        meant = {name: replace(config, objective=objective) for name, config in configs.items()}
        by_objective[objective] = evaluate_recipes(meant, answers, splits, asked["folds"]).to_json()
    first = next(iter(configs.values()))
    return {"settings": settings(first), "objectives": by_objective}


def stored(
    folder: Path, name: str, config: TeacherConfig, splits: Splits, asked: dict[str, Any]
) -> RecipePredictions:
    """The answers that stand in the folder."""
    for seed in range(config.seed, config.seed + asked["seeds"]):
        for fold in range(1, asked["folds"] + 1):
            path = folder / name / f"seed{seed}" / f"fold{fold}.float32"
            if not path.is_file():
                raise click.UsageError(f"{path}: missing; finish the comparison with --resume")
    return predict_recipe(
        name, config, splits, asked["folds"], asked["seeds"], Workspace(folder / name, resume=True)
    )


def settings(config: TeacherConfig) -> dict[str, Any]:
    """What the page says of a recipe; encoders by their last name, wherever they were loaded from."""
    tree = {key: value for key, value in asdict(config).items() if not isinstance(value, dict)}
    return tree | {"text": Path(config.text.model).name, "image": Path(config.image.model).name}


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--comparison", "comparisons", multiple=True, required=True, metavar="NAME=DIR")
@click.option("--epochs", type=click.Path(path_type=Path), help="What docs/collect_epochs.py wrote.")
def collect(data: Path, comparisons: tuple[str, ...], epochs: Path | None) -> None:
    """Write docs/results/teachers.json."""
    splits = read_splits(data)
    named = [pair.partition("=")[::2] for pair in comparisons]
    tree: dict[str, Any] = {"cpu": describe().cpu, "dev": len(splits.dev)}
    tree["comparisons"] = {name: collected(Path(folder), splits) for name, folder in named}
    if epochs is not None:
        tree["epochs"] = read_json(epochs, RunError)
    write_json(OUT, tree)


if __name__ == "__main__":
    collect()
