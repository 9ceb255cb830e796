"""Fine-tuned teachers beside their dataset's baseline, out of fold on the same rows: docs/results-teacher.md."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.storage.files import read_json
from distill.data.checks import content_hash
from distill.data.dataset import Splits, encode_targets, read_splits
from distill.data.run_folder import START_FILE
from distill.model.soft_targets import held_out_logits
from distill.scoring.bootstrap import PairedBootstrap, arm_metrics, paired_difference
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import constant_baseline
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import cross_calibrated, cross_fitted
from experiments.results import commit_option, conditions, figure, measured, named, notes, read, table, write
from teacher.soft_targets import load_folds

DATASETS = ("film genres", "propaganda memes", "harmful memes")
SETTINGS = (
    *(
        "head_start",
        "epochs",
        "learning_rate",
        "head_learning_rate",
        "precision",
        "optimizer",
        "loss",
        "folds",
        "seed",
    ),
)


@click.command("rivals")
@click.option("--data", "datasets", multiple=True, required=True, metavar="DATASET=DIR", help="Repeatable.")
@click.option("--run", "folders", multiple=True, required=True, metavar="DATASET/NAME=DIR", help="Repeatable.")
@commit_option
@click.pass_obj
def collect(results: Path, datasets: tuple[str, ...], folders: tuple[str, ...], commit: str) -> None:
    """Add comparisons of finished runs that were trained with folds (rivals.json).

    The first run of a dataset is what its others are compared with, each alone and averaged with it in logits.
    """
    runs: dict[str, dict[str, Path]] = {}
    for name, folder in named(folders).items():
        dataset, _, run = name.partition("/")
        runs.setdefault(dataset, {})[run] = folder
    found = measured("rivals")
    for name, data in named(datasets).items():
        found[name] = _compare(read_splits(data), runs[name]) | {"runs_of_commit": commit}
    write(results, "rivals", conditions(), found)


def _compare(splits: Splits, folders: dict[str, Path]) -> dict[str, Any]:
    whole, groups = encode_targets(splits.train, splits.labels), splits.labels.group_columns
    logits = {name: out_of_fold(folder, splits) for name, folder in folders.items()}
    answered = ~np.any([np.isnan(values).any(axis=1) for values in logits.values()], axis=0)
    targets, logits = whole[answered], {name: values[answered] for name, values in logits.items()}
    first = next(iter(folders))
    for name in list(folders)[1:]:
        logits[f"mean of {first} and {name}"] = np.float32(0.5) * (logits[first] + logits[name])
    draws = PairedBootstrap(len(targets), 1)
    scores = {}
    for name, values in logits.items():
        raw = to_probabilities(values, groups)
        p = cross_calibrated(raw, targets, rates=label_rates(whole), groups=groups)
        decisions = cross_fitted(raw, targets, "balanced", groups=groups)
        scores[name] = draws.metric_draws(targets, [p], [decisions], groups)
    arms = {}
    for name, own in scores.items():
        gains = {key: asdict(gain) for key, gain in paired_difference(own, scores[first]).items()}
        settings = _settings(folders[name]) if name in folders else None
        arms[name] = {
            "arm": asdict(arm_metrics(own)),
            "gain": None if name == first else gains,
            "settings": settings,
        }
    constant = constant_baseline(splits.labels.names, targets, targets, groups)
    return {"examples": len(targets), "of": len(whole), "constant": constant.to_json(), "arms": arms}


def out_of_fold(folder: Path, splits: Splits) -> NDArray[np.float32]:
    """Logits (N, L) of the training split, each row's by the fold that held it out; NaN where no fold did."""
    of_hash, unknown = held_out_logits(load_folds(folder)), np.full(len(splits.labels), np.nan, dtype=np.float32)
    return np.stack([of_hash.get(content_hash(example), unknown) for example in splits.train])


def _settings(folder: Path) -> dict[str, Any]:
    config = read_json(folder / START_FILE, RunError)["config"]
    encoders = {name: Path(config[name]["model"]).name for name in ("text", "image")}
    more = {
        "max_tokens": config["text"]["max_tokens"],
        "ngrams": config["text"]["ngrams"],
        "focal": config["focal"],
    }
    return {name: config[name] for name in SETTINGS} | encoders | more


def rivals(dataset: str) -> str:
    """One dataset's teachers, the baseline first."""
    tree = read("rivals")[dataset]
    rows = []
    for name, arm in tree["arms"].items():
        gains = ("", "")
        if arm["gain"] is not None:
            gains = (figure(arm["gain"]["balanced"], "+.3f"), figure(arm["gain"]["micro_ap"], "+.3f"))
        rows.append((name, *(figure(arm["arm"][key]) for key in ("micro_f1", "macro_f1", "micro_ap")), *gains))
    headings = "| micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] | mean of both F1 - first | micro-AP - first"
    constant = tree["constant"]
    part = "" if tree["examples"] == tree["of"] else f" of {tree['of']:,}"
    return table(headings, rows) + notes(
        f"{tree['examples']:,}{part} training examples, each answered by a model that was not trained on it, "
        "one seed; differences paired over examples; thresholds cross-fitted for the mean of both F1.",
        f"Always predicting {', '.join(constant['names'])}: micro-F1 {constant['micro_f1']:.3f}.",
    )


def head_starts() -> str:
    """AP on dev of one fold, epoch by epoch, by how its fine-tuning began."""
    result = read("head-start")
    c, probe = result["conditions"], result["probe"]
    rows = [("the probe itself", _aps([probe], "micro_ap"), _aps([probe], "macro_ap"))]
    for start in result["starts"]:
        rows.append((start["name"], *(_aps(start["epochs"], key) for key in ("micro_ap", "macro_ap"))))
    headings = "| dev micro-AP after epoch 1, 2 | dev macro-AP"
    return table(headings, rows) + notes(
        f"{c['dataset']}, fold 1 of 3: {c['examples']:,} examples, {c['dev']} on dev; {c['encoders'][0]}, "
        f"at most {c['max_tokens']} tokens, and {c['encoders'][1]}; learning rate {c['learning_rate']:g}."
    )


def _aps(epochs: list[dict[str, float]], key: str) -> str:
    return ", ".join(f"{epoch[key]:.3f}" for epoch in epochs)
