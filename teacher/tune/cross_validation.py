"""The F1 of a teacher's recipe out of fold, fold by fold, so that a search can stop a bad trial early."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from distill.core.errors import RunError
from distill.core.settings.recipe import TeacherConfig
from distill.core.storage.files import remove_folder
from distill.data.dataset import Splits
from distill.scoring.metrics import Probabilities
from distill.scoring.thresholds import cross_fitted, objective_value
from distill.training.folds import Folds, OutOfFold, predict_out_of_fold
from distill.training.trainer import CheckpointFolder
from teacher.losses import teacher_loss
from teacher.train import prepare_teacher

FOLD_SEED = 29  # the same folds for every trial, and not those of teacher.compare, which may judge the best one


class CrossValidation:
    """Trains recipes in folds of the training split; dev only stops each training.

    All recipes share the encoders, head and seed of `base`, so encoders load and examples are encoded once.
    Probabilities are stored in `folder` by a hash of the recipe, so that no fold is trained twice, also after the
    process was killed.
    """

    def __init__(self, base: TeacherConfig, splits: Splits, folds: int, folder: Path) -> None:
        teacher = prepare_teacher(base, splits)
        self.classifier, self.targets = teacher.classifier, teacher.targets
        self.classifier.warn_of_texts(splits)
        self.folder = folder
        self.folds = Folds.stratified(teacher.data, folds, FOLD_SEED)

    def scores(self, config: TeacherConfig) -> Iterator[float]:
        """After each fold, the F1 that `config.threshold_objective` names on the rows of the folds so far, with
        thresholds cross-fitted on them. Raises RunError for a recipe that cannot be trained."""
        for number in range(1, len(self.folds.parts) + 1):
            rows = np.sort(np.concatenate([fold.held_out_rows for fold in self.folds.parts[:number]]))
            probabilities, targets = self._train(config, number).probabilities.both[rows], self.targets[rows]
            groups = self.classifier.labels.group_columns
            decisions = cross_fitted(probabilities, targets, config.threshold_objective, groups=groups)
            yield objective_value(targets, decisions, config.threshold_objective)

    def probabilities(self, config: TeacherConfig) -> Probabilities:
        """Out of fold for the whole training split, float32 (N, L)."""
        return self._train(config, len(self.folds.parts)).probabilities.both

    def _train(self, config: TeacherConfig, max_folds: int) -> OutOfFold:
        folder = self.folder / hashlib.sha256(json.dumps(asdict(config)).encode()).hexdigest()[:16]
        classifier = replace(self.classifier, config=config)
        make_loss = partial(teacher_loss, config, self.targets, classifier.labels.group_columns)
        try:
            return predict_out_of_fold(
                classifier, self.folds, make_loss, CheckpointFolder(folder, resume=True), max_folds=max_folds
            )
        except (RunError, torch.OutOfMemoryError) as error:
            for path in folder.glob("fold*"):
                if path.is_dir():
                    remove_folder(path)
            if isinstance(error, RunError):
                raise
            raise RunError(f"no memory for batch_size={config.batch_size}") from error
