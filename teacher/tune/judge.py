"""What a recipe of a teacher is worth out of fold, told fold by fold. Knows trainings, no search."""

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
from distill.core.files import remove_folder
from distill.core.recipe import TeacherConfig
from distill.data.dataset import Splits
from distill.model.classifier import Classifier
from distill.scoring.metrics import Probabilities
from distill.scoring.thresholds import cross_fitted, objective_value
from distill.training.folds import Folds, OutOfFold, out_of_fold
from distill.training.trainer import TrainingData, Workspace
from teacher.losses import loss_of

FOLD_SEED = 29  # the same folds for every trial, and not those of `compare`, which may judge the best one


class FoldJudge:
    """Trains a recipe in folds of the training split; dev only stops each training.

    All recipes that it judges share what `base` says of encoders, head and seed: these are opened, and the
    examples encoded, once. Answers are kept in `folder` by what the recipe is, so that no fold of a recipe is
    trained twice, not after a kill either.
    """

    def __init__(self, base: TeacherConfig, splits: Splits, folds: int, folder: Path) -> None:
        self.classifier = Classifier.pretrained("teacher", base, splits.labels, [e.text for e in splits.train])
        data = TrainingData(self.classifier.encode_train(splits.train), self.classifier.encode(splits.dev))
        self.targets = data.train.targets
        self.classifier.network.start_from_rates(torch.from_numpy(self.targets.mean(0)))
        self.folder = folder
        self.folds = Folds.stratified(data, folds, FOLD_SEED)

    def __call__(self, config: TeacherConfig) -> Iterator[float]:
        """After each fold, `config.threshold_objective` on the rows of the folds so far, thresholds cross-fitted on
        them. Raises RunError for a recipe that cannot be trained."""
        for number in range(1, len(self.folds.parts) + 1):
            rows = np.sort(np.concatenate([fold.held_out for fold in self.folds.parts[:number]]))
            probabilities, targets = self._train(config, number).probabilities.both[rows], self.targets[rows]
            decisions = cross_fitted(probabilities, targets, config.threshold_objective)
            yield objective_value(targets, decisions, config.threshold_objective)

    def probabilities(self, config: TeacherConfig) -> Probabilities:
        """Of the whole training split, float32 (N, L), by models that had not seen the example."""
        return self._train(config, len(self.folds.parts)).probabilities.both

    def _train(self, config: TeacherConfig, first: int) -> OutOfFold:
        place = self.folder / hashlib.sha256(json.dumps(asdict(config)).encode()).hexdigest()[:16]
        one = replace(self.classifier, config=config)
        make_loss = partial(loss_of, config, self.targets)
        try:
            return out_of_fold(one, self.folds, make_loss, Workspace(place, resume=True), first=first)
        except (RunError, torch.OutOfMemoryError) as error:
            for left in place.glob("fold*"):
                if left.is_dir():
                    remove_folder(left)
            if isinstance(error, RunError):
                raise
            raise RunError(f"no memory for batch_size={config.batch_size}") from error
