"""What an epoch of several teachers costs beside one of a text-only teacher: a JSON file for collect_teachers.py.

    python docs/collect_epochs.py --data DIR --out FILE [--recipe FILE] [--set KEY=VALUE ...]

The teachers take turns, epoch by epoch, in one process, so that noise hits all alike; each round gives one ratio.
Features of a frozen image tower are cached before anything is timed; writing the checkpoint is part of an epoch.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from bench.measure.machine import describe
from distill.core.files import write_json
from distill.core.recipe import Recipe
from distill.data.dataset import Splits, read_splits
from distill.model.classifier import Classifier
from distill.training.trainer import TrainingData, Workspace, train_model
from teacher.losses import teacher_loss

TEACHERS = {
    "text alone": ("teacher.head.uses=text",),
    "concat": (),
    "concat, everything augmented": (
        "teacher.augment.words=0.1",
        "teacher.augment.tokens=0.1",
        "teacher.augment.images=0.5",
    ),
    "transformer": ("teacher.head.fusion=transformer",),
}


def epochs_of(recipe: Path | None, settings: tuple[str, ...], splits: Splits, folder: Path) -> Callable[[], float]:
    """Trains one more epoch of one teacher whenever it is called; its seconds."""
    config = Recipe.load(recipe, settings).teacher
    classifier = Classifier.pretrained("teacher", config, splits.labels, [e.text for e in splits.train])
    data = TrainingData(classifier.encode_train(splits.train), classifier.encode(splits.dev))

    def epoch() -> float:
        started = time.perf_counter()
        loss = teacher_loss(config, data.train.targets)
        train_model(classifier.network, config, data, loss, Workspace(folder, resume=False), epochs=1)
        return time.perf_counter() - started

    return epoch


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True)
@click.option("--rounds", default=5, show_default=True)
def collect(data: Path, out: Path, recipe: Path | None, overrides: tuple[str, ...], rounds: int) -> None:
    """Write the seconds of each epoch."""
    splits = read_splits(data)
    seconds: dict[str, list[float]] = {name: [] for name in TEACHERS}
    with tempfile.TemporaryDirectory() as folder:
        run = {
            name: epochs_of(recipe, (*overrides, *settings), splits, Path(folder) / str(number))
            for number, (name, settings) in enumerate(TEACHERS.items())
        }
        for number in range(1 + rounds):
            for name, epoch in run.items():
                took = epoch()
                if number > 0:  # the first warms up
                    seconds[name].append(took)
    first = np.array(seconds["text alone"])
    ratios = {name: float(np.median(np.array(found) / first)) for name, found in seconds.items()}
    found = {"cpu": describe().cpu, "threads": torch.get_num_threads(), "examples": len(splits.train)}
    write_json(out, found | {"seconds": seconds, "ratio": ratios})


if __name__ == "__main__":
    collect()
