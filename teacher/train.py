"""Training a teacher, and its fold models when asked."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from distill.core.recipe import TeacherConfig
from distill.core.terminal import note
from distill.data.dataset import Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.distributed import by_first
from distill.training.folds import Folds, evaluate_run, out_of_fold
from distill.training.run import finish
from distill.training.trainer import TrainingData, Workspace, train_model
from teacher import soft_targets
from teacher.losses import loss_of


def train(config: TeacherConfig, splits: Splits, run: Workspace, start: Classifier | None = None) -> Checkpoint:
    """Train on splits.train, stop and fit thresholds on splits.dev, write the run to `run.folder` and, beside it,
    the teacher's outputs for splits.train, for its students.

    With `config.folds` >= 2, thresholds and figures come from out-of-fold predictions of the training
    split instead, which is far more evidence than a small dev split gives; every fold's teacher writes down
    its outputs too, so that students can be measured in the same folds. Training begins at pretrained encoders,
    or at `start`, whose network is trained in place.
    """
    classifier = start or Classifier.pretrained("teacher", config, splits.labels, [e.text for e in splits.train])
    data = TrainingData(classifier.encode_train(splits.train), classifier.encode(splits.dev))
    targets = data.train.targets
    if start is None:
        classifier.network.start_from_rates(torch.from_numpy(targets.mean(0)))
    loss, training = loss_of(config, targets), run / "training"
    held_out, epochs = None, None
    if config.folds:
        folds = Folds.stratified(data, config.folds, config.seed)
        finished = partial(_write_fold, run.folder, splits, folds)
        held_out = out_of_fold(classifier, folds, lambda: loss, training, finished)
        epochs = held_out.median_epoch()
        note(f"training on all {len(data.train)} training examples for {epochs} epochs, as the folds say")
    log = train_model(classifier.network, config, data, loss, training / "all", epochs)
    evaluation = evaluate_run(classifier, targets, data.dev, held_out)
    evaluation.show("Teacher")
    outputs = soft_targets.ask(classifier, splits.train, data.train)
    by_first(outputs.write)(run.folder / soft_targets.FILE)
    metrics = evaluation.to_json() | {"training": asdict(log)}
    return finish(run.folder, classifier, evaluation.thresholds, log, metrics)


def _write_fold(folder: Path, splits: Splits, folds: Folds, number: int, teacher: Classifier) -> None:
    train = folds.data.train
    unseen = np.isin(np.arange(len(train)), folds.parts[number - 1].held_out)
    outputs = soft_targets.ask(teacher, splits.train, train, unseen)
    by_first(outputs.write)(folder / soft_targets.FOLD_FILE.format(number))
