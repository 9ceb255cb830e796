"""Ways to choose thresholds, judged on rows that they were not fitted on: docs/results/thresholds.json.

    python docs/collect_thresholds.py --data DIR --teacher RUN

The teacher was trained with folds: its out-of-fold answers to the training split are what is decided. Each way is
fitted on four fifths of the rows and decides the last, in turns, with several divisions into fifths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from distill.core.files import write_json
from distill.core.recipe import Objective
from distill.data.checks import content_hash
from distill.data.dataset import read_splits
from distill.data.stratify import stratified_folds
from distill.model.soft_targets import SoftTargets
from distill.scoring.bootstrap import PairedDraws, estimate
from distill.scoring.metrics import Decisions, Probabilities, Targets, macro_f1, micro_f1, sigmoid
from distill.scoring.thresholds import fit

OUT = Path(__file__).parent / "results" / "thresholds.json"
REPEATS, FIFTHS = 10, 5
GRID = np.linspace(0.02, 0.98, 97)

Way = Callable[[Probabilities, Targets], NDArray[np.float32]]


def half(_: Probabilities, targets: Targets) -> NDArray[np.float32]:
    """0.5 for every label."""
    return np.full(targets.shape[1], 0.5, dtype=np.float32)


def shared(p: Probabilities, targets: Targets) -> NDArray[np.float32]:
    """One for all labels, the best of a grid by the mean of micro- and macro-F1."""
    values = [micro_f1(targets, p >= cut) + macro_f1(targets, p >= cut) for cut in GRID]
    return np.full(targets.shape[1], GRID[int(np.argmax(values))], dtype=np.float32)


def naive(p: Probabilities, targets: Targets) -> NDArray[np.float32]:
    """Each label's own best of a grid, by its own F1."""
    columns = ([micro_f1(targets[:, [i]], p[:, [i]] >= cut) for cut in GRID] for i in range(targets.shape[1]))
    return np.array([GRID[int(np.argmax(values))] for values in columns], dtype=np.float32)


def ours(objective: Objective) -> Way:
    """distill.thresholds: all labels together, on calibrated probabilities."""
    return lambda p, targets: fit(p, targets, objective, "fifths").array()


def decide(way: Way, p: Probabilities, targets: Targets, seed: int) -> Decisions:
    """Every row decided with what was fitted on other rows."""
    decisions = np.zeros(targets.shape, dtype=bool)
    for part in stratified_folds(targets, FIFTHS, seed):
        rest = np.setdiff1d(np.arange(len(targets)), part)
        decisions[part] = p[part] >= way(p[rest], targets[rest])
    return decisions


def out_of_fold(teacher: Path, content: list[str], shape: tuple[int, ...]) -> Probabilities:
    """The fold teachers' answers to what each has not seen."""
    answers = np.full(shape, np.nan, dtype=np.float32)
    for path in sorted(teacher.glob("soft_targets-fold*.npz")):
        stored = SoftTargets.read(path)
        unseen = stored.unseen(content)
        answers[unseen] = sigmoid(stored.select(content).logits[unseen])
    if np.isnan(answers).any():
        raise click.UsageError(
            f"{teacher}: not every training example has an answer out of fold; train it with folds"
        )
    return answers


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--teacher", required=True, type=click.Path(path_type=Path))
def collect(data: Path, teacher: Path) -> None:
    """Write docs/results/thresholds.json."""
    splits = read_splits(data)
    targets = splits.labels.encode([example.labels for example in splits.train])
    p = out_of_fold(teacher, [content_hash(example) for example in splits.train], targets.shape)
    ways: dict[str, Way] = {
        "0.5 for every label": half,
        "one for all labels": shared,
        "each label's own best F1": naive,
        "distill, objective micro": ours("micro"),
        "distill, objective macro": ours("macro"),
        "distill, objective balanced (the default)": ours("balanced"),
    }
    draws = PairedDraws(len(targets), REPEATS)
    scores = {
        name: draws.scores(targets, [p] * REPEATS, [decide(way, p, targets, seed) for seed in range(REPEATS)])
        for name, way in ways.items()
    }
    default = scores["distill, objective balanced (the default)"]
    rows: list[dict[str, Any]] = []
    for name, score in scores.items():
        measured = {key: asdict(estimate(score[key])) for key in ("micro", "macro", "balanced")}
        rows.append(
            {"way": name, **measured, "default_minus": asdict(estimate(default["balanced"] - score["balanced"]))}
        )
    write_json(OUT, {"examples": len(targets), "repeats": REPEATS, "rows": rows})


if __name__ == "__main__":
    collect()
