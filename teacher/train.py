"""Training a teacher, with fold models for out-of-fold thresholds if the recipe asks for them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.core.settings.recipe import TeacherConfig
from distill.data.dataset import Splits
from distill.data.unlabelled import with_unlabelled
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.distributed import on_first_process
from distill.model.soft_targets import SoftTargets
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.metrics import Targets, positive_rates
from distill.training.folds import Folds, calibrate_and_evaluate, predict_out_of_fold
from distill.training.run_writer import finish_run
from distill.training.trainer import CheckpointFolder, TrainingData, train_model
from teacher.losses import check_loss, teacher_loss
from teacher.soft_targets import FILE, FOLD_FILE, compute_soft_targets


@dataclass(frozen=True)
class UntrainedTeacher:
    """A teacher and its encoded data before training."""

    classifier: Classifier
    data: TrainingData

    @property
    def config(self) -> TeacherConfig:
        """The teacher's settings."""
        config = self.classifier.config
        assert isinstance(config, TeacherConfig)
        return config

    @property
    def targets(self) -> Targets:
        """Of the training split, float32 (N, L)."""
        return self.data.train.targets


def prepare_teacher(config: TeacherConfig, splits: Splits) -> UntrainedTeacher:
    """Pretrained encoders, a new head and the encoded data.

    Raises BackboneError, RecipeError for an augmentation that the tokenizer has no mask for, or a loss that does
    not know groups of labels, ImageError, and OutputError for a feature cache that cannot be written.
    """
    check_loss(config, splits.labels.group_columns)
    classifier = Classifier.pretrained("teacher", config, splits.labels, [e.text for e in splits.train])
    teacher = UntrainedTeacher(classifier, _encode(classifier, splits))
    rates = torch.from_numpy(positive_rates(teacher.targets))
    classifier.network.initialise_bias(rates, splits.labels.group_columns)
    return teacher


def _encode(classifier: Classifier, splits: Splits) -> TrainingData:
    return TrainingData(classifier.encode_train(splits.train), classifier.encode(splits.dev))


def check_unlabelled(config: TeacherConfig, unlabelled: str | os.PathLike[str] | None) -> None:
    """Raise RunError for a file of unlabelled examples and no folds, whose teachers would answer them."""
    if unlabelled is not None and not config.folds:
        raise RunError(
            f"{unlabelled}: only the folds' teachers answer unlabelled rows, and teacher.folds is 0; give "
            "--set teacher.folds=3, or give these rows to train-student"
        )


def fit_teacher(
    config: TeacherConfig,
    splits: Splits,
    run: CheckpointFolder,
    start: Classifier | None = None,
    baseline: BaselineAnswers | None = None,
) -> Checkpoint:
    """Train on splits.train, stop early and fit thresholds on splits.dev, and write the run to `run.folder` with
    the teacher's soft targets for splits.train.

    With `config.folds` >= 2, thresholds and metrics come from out-of-fold probabilities of the training split
    instead, which is far more evidence than a small dev split; the run then also holds the soft targets of every
    fold's teacher, for the unlabelled examples too, so that students can be measured in the same folds. Training
    starts from pretrained encoders, or from `start`, whose network is trained in place.

    Raises as `prepare_teacher`; DataError for fewer examples than folds, or a dev split on which no thresholds can
    be fitted, RunError for a loss that is not finite, and OutputError for a file that cannot be written.
    """
    teacher = prepare_teacher(config, splits) if start is None else UntrainedTeacher(start, _encode(start, splits))
    teacher.classifier.warn_of_texts(splits)
    return fit_prepared(teacher, splits, run, baseline)


def fit_prepared(
    teacher: UntrainedTeacher, splits: Splits, run: CheckpointFolder, baseline: BaselineAnswers | None = None
) -> Checkpoint:
    """As `fit_teacher`, from encoded data."""
    classifier, data, targets, config = teacher.classifier, teacher.data, teacher.targets, teacher.config
    loss = teacher_loss(config, targets, classifier.labels.group_columns)
    training = run.child("training")
    out_of_fold, epochs = None, None
    if config.folds:
        splits = with_unlabelled(splits, None)  # of retraining, too: what has a label now is not answered as a post
        folds = Folds.stratified(data, config.folds, config.seed)
        unlabelled = classifier.encode(splits.unlabelled) if splits.unlabelled else None
        on_fold_end = partial(_write_fold, training.folder, splits, folds, unlabelled)
        out_of_fold = predict_out_of_fold(classifier, folds, lambda: loss, training, on_fold_end)
        for number in range(1, config.folds + 1):
            raw = SoftTargets.read(training.folder / FOLD_FILE.format(number))
            on_first_process(raw.calibrated(out_of_fold.calibration).write)(run.folder / FOLD_FILE.format(number))
        epochs = out_of_fold.median_epoch()
        if config.epochs:
            note(f"training on all {len(data.train)} training examples for {epochs} epochs, as the folds say")
    log = train_model(classifier.network, config, data, loss, training.child("all"), epochs)
    evaluation = calibrate_and_evaluate(classifier, data.train, data.dev, out_of_fold)
    evaluation = evaluation.beside(baseline, "the teacher")
    soft_targets = compute_soft_targets(classifier, splits.train, data.train)
    on_first_process(soft_targets.write)(run.folder / FILE)
    metrics = evaluation.to_json() | {"training": asdict(log)}
    finished = finish_run(run.folder, classifier, evaluation.thresholds, log, metrics)
    evaluation.show("Teacher")
    return finished


def _write_fold(
    folder: Path, splits: Splits, folds: Folds, unlabelled: EncodedDataset | None, number: int, teacher: Classifier
) -> None:
    train = folds.data.train
    held_out_mask = np.isin(np.arange(len(train)), folds.parts[number - 1].held_out_rows)
    soft_targets = compute_soft_targets(teacher, splits.train, train, held_out_mask)
    if unlabelled is not None:
        soft_targets = soft_targets.concatenate(compute_soft_targets(teacher, splits.unlabelled, unlabelled))
    on_first_process(soft_targets.write)(folder / FOLD_FILE.format(number))
