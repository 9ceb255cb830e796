"""Training a teacher, and its fold models when asked. Knows no student."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from distill.core.recipe import TeacherConfig
from distill.core.terminal import note
from distill.data.dataset import Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import Encoded
from distill.model.distributed import by_first
from distill.training.folds import HeldOut, divide, out_of_fold, score
from distill.training.run import finish
from distill.training.trainer import Loss, train_model
from teacher import soft_targets as targets
from teacher.losses import loss_of


def train(
    config: TeacherConfig, splits: Splits, folder: Path, resume: bool, start: Classifier | None = None
) -> Checkpoint:
    """Train on splits.train, stop and fit thresholds on splits.dev, write the run to `folder` and, beside it,
    what the teacher says of splits.train for its students.

    With `config.folds` >= 2, thresholds and figures come from out-of-fold predictions of the training
    split instead, which is far more evidence than a small dev split gives; every fold's teacher writes down
    what it says too, so that students can be measured in the same folds. Training begins at pretrained encoders,
    or at `start`, whose network is trained in place.
    """
    classifier = start or Classifier.pretrained("teacher", config, splits.labels, [e.text for e in splits.train])
    train_set, dev_set = classifier.encode_train(splits.train), classifier.encode(splits.dev)
    if start is None:
        classifier.network.start_from_rates(torch.from_numpy(train_set.targets.mean(0)))
    loss = loss_of(config, train_set.targets)
    held_out, epochs = None, None
    if config.folds:
        held_out = _out_of_fold(config, classifier, splits, train_set, dev_set, loss, folder, resume)
        epochs = held_out.length()
        note(f"training on all {len(train_set)} training examples for {epochs} epochs, as the folds say")
    place = folder / "training" / "all"
    log = train_model(classifier.network, config, train_set, dev_set, loss, place, resume, epochs)
    scored = score(classifier, train_set.targets, dev_set, held_out)
    scored.show("Teacher")
    asked = targets.ask(classifier, splits.train, train_set)
    by_first(asked.write)(folder / targets.FILE)
    return finish(folder, classifier, scored.thresholds, log, scored.to_json() | {"training": asdict(log)})


def _out_of_fold(
    config: TeacherConfig,
    classifier: Classifier,
    splits: Splits,
    train_set: Encoded,
    dev_set: Encoded,
    loss: Loss,
    folder: Path,
    resume: bool,
) -> HeldOut:
    folds = divide(train_set, config.folds, config.seed)

    def write_down(number: int, teacher: Classifier) -> None:
        unseen = np.isin(np.arange(len(train_set)), folds[number - 1].held_out)
        asked = targets.ask(teacher, splits.train, train_set, unseen)
        by_first(asked.write)(folder / targets.FOLD_FILE.format(number))

    rest = (folds, train_set, dev_set, lambda: loss, folder / "training", resume)
    return out_of_fold(classifier, config, *rest, finished=write_down)
