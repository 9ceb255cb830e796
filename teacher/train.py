"""Training a teacher, and its fold models when asked. Knows the focal loss, no student."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.checkpoint import Checkpoint, finish
from distill.classifier import Classifier
from distill.data import Splits
from distill.encoding import Encoded
from distill.files import write_bytes
from distill.focal import focal_loss
from distill.metrics import measure, sigmoid
from distill.recipe import TeacherConfig
from distill.scoring import Scored, fit_and_score
from distill.split import stratified_folds
from distill.terminal import note
from distill.training import Loss, train_model


def train(config: TeacherConfig, splits: Splits, folder: Path, resume: bool) -> Checkpoint:
    """Train on splits.train, stop and fit thresholds on splits.dev, and write the run to `folder`.

    With `config.folds` >= 2, thresholds and figures come from out-of-fold predictions of the training
    split instead, which is far more evidence than a small dev split gives.
    """
    classifier = Classifier.pretrained("teacher", config, splits.labels)
    train_set, dev_set = classifier.encode(splits.train), classifier.encode(splits.dev)
    classifier.network.start_from_rates(torch.from_numpy(train_set.targets.mean(0)))
    loss = _focal(config)
    out_of_fold = None
    if config.folds:
        out_of_fold = _out_of_fold(classifier, config, train_set, dev_set, folder / "training", resume)
        note(f"training on all {len(train_set)} training examples")
    log = train_model(classifier.network, config, train_set, dev_set, loss, folder / "training" / "all", resume)
    scored = _score(classifier, train_set, dev_set, out_of_fold)
    scored.show("Teacher")
    return finish(folder, classifier, scored.thresholds, log, scored.to_json() | {"training": asdict(log)})


def _focal(config: TeacherConfig) -> Loss:
    def loss(logits: Tensor, targets: Tensor, _: Tensor | None) -> Tensor:
        return focal_loss(logits, targets, config.focal)

    return loss


def _out_of_fold(
    classifier: Classifier,
    config: TeacherConfig,
    train_set: Encoded,
    dev_set: Encoded,
    folder: Path,
    resume: bool,
) -> NDArray[np.float32]:
    """Probabilities float32 (N, L) of each training example by a model that was not trained on it."""
    result = np.zeros_like(train_set.targets)
    everything = np.arange(len(train_set))
    for number, held_out in enumerate(stratified_folds(train_set.targets, config.folds, config.seed), 1):
        stored = folder / f"fold{number}.float32"
        if not stored.is_file():
            note(f"fold {number} of {config.folds}")
            fold = replace(classifier, network=copy.deepcopy(classifier.network))
            rest = train_set.subset(np.setdiff1d(everything, held_out))
            train_model(fold.network, config, rest, dev_set, _focal(config), folder / f"fold{number}", resume)
            write_bytes(stored, sigmoid(fold.logits(train_set.subset(held_out))).tobytes())
        result[held_out] = np.frombuffer(stored.read_bytes(), dtype=np.float32).reshape(len(held_out), -1)
    return result


def _score(
    classifier: Classifier, train_set: Encoded, dev_set: Encoded, out_of_fold: NDArray[np.float32] | None
) -> Scored:
    names, config = classifier.labels.names, classifier.config
    dev = sigmoid(classifier.logits(dev_set))
    rest = (train_set.targets, config.objective)
    if out_of_fold is None:
        return fit_and_score(names, dev, dev_set.targets, *rest, "dev")
    scored = fit_and_score(names, out_of_fold, train_set.targets, *rest, "out-of-fold train")
    on_dev = measure(names, dev_set.targets, dev, scored.thresholds.array())
    return replace(scored, rows=(*scored.rows, ("dev, not fitted on", on_dev)))
