"""Predictions for training examples by models that were not trained on them. Knows folds, not who teaches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.files import read_json, remove_folder, write_bytes, write_json
from distill.core.recipe import ModelConfig
from distill.core.terminal import note
from distill.data.stratify import stratified_folds
from distill.model import distributed as processes
from distill.model.classifier import Classifier
from distill.model.dataset import Encoded
from distill.model.training_log import TrainLog
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate, fit_and_evaluate
from distill.scoring.metrics import Probabilities, Targets, sigmoid
from distill.training.trainer import Loss, train_model


@dataclass(frozen=True)
class Views:
    """Probabilities float32 (N, L) of one model on the same examples: as they are, and with only their text
    or only their image."""

    both: Probabilities
    text: Probabilities
    image: Probabilities

    def alone(self) -> dict[str, Probabilities]:
        """For `SplitOutputs.alone`."""
        return {"text": self.text, "image": self.image}


@dataclass(frozen=True)
class Fold:
    """A model of its own: trained on `train`, asked about the rows `held_out` of the whole training split."""

    train: Encoded
    held_out: NDArray[np.int64]


def divide(train: Encoded, folds: int, seed: int) -> list[Fold]:
    """The training split in so many folds, every label in proportion; each holds out a part of its own."""
    parts, everything = stratified_folds(train.targets, folds, seed), np.arange(len(train))
    return [Fold(train.subset(np.setdiff1d(everything, part)), part) for part in parts]


@dataclass(frozen=True)
class HeldOut:
    """The folds' answers to the examples that they were not trained on, the best epoch of each, and the mean
    seconds of one of its epochs, training and validation; without the folds that were found trained."""

    views: Views
    epochs: tuple[int, ...]
    epoch_s: tuple[float, ...]

    def length(self) -> int:
        """How long to train on everything: the median of the folds' best epochs, the shorter of two."""
        return sorted(self.epochs)[(len(self.epochs) - 1) // 2]


def views(classifier: Classifier, encoded: Encoded) -> Views:
    """Run a model over the examples three times."""
    parts = (encoded, encoded.without("image"), encoded.without("text"))
    return Views(*(sigmoid(classifier.logits(part)) for part in parts))


def out_of_fold(
    classifier: Classifier,
    config: ModelConfig,
    folds: Sequence[Fold],
    whole: Encoded,
    dev: Encoded,
    make_loss: Callable[[], Loss],
    folder: Path,
    resume: bool,
    finished: Callable[[int, Classifier], None] | None = None,
    first: int | None = None,
) -> HeldOut:
    """Train a copy of `classifier`, untrained, for each fold and put their answers together.

    A fold's answers are stored in `folder` when it is done, so that a resumed run does not train it again;
    `finished` is called with its number and model just before. With `first`, only so many folds answer, and
    the rows of the others stay 0.
    """
    result, logs = Views(*(np.zeros_like(whole.targets) for _ in range(3))), []
    for number, fold in enumerate(folds[:first], 1):
        stored = folder / f"fold{number}.float32"
        if not stored.is_file():
            sizes = f"{len(fold.train)} examples train, {len(fold.held_out)} are held out"
            note(f"fold {number} of {len(folds)}: {sizes}")
            model = replace(classifier, network=copy.deepcopy(classifier.network))
            log = train_model(model.network, config, fold.train, dev, make_loss(), folder / f"fold{number}", resume)
            if finished is not None:
                finished(number, model)
            answers = views(model, whole.subset(fold.held_out))
            _keep(stored, log, answers)
        content, shape = stored.read_bytes(), (3, len(fold.held_out), whole.targets.shape[1])
        if len(content) != 4 * np.prod(shape):
            raise RunError(f"{stored}: has {len(content)} bytes, not answers {shape}; remove it and --resume")
        part = np.frombuffer(content, dtype=np.float32).reshape(shape)
        for array, values in zip((result.both, result.text, result.image), part, strict=True):
            array[fold.held_out] = values
        logs.append(read_json(folder / f"fold{number}.json", RunError))
    epochs = tuple(int(log["best_epoch"]) for log in logs)
    return HeldOut(result, epochs, tuple(float(log["epoch_s"]) for log in logs if log["epoch_s"] is not None))


@processes.by_first
def _keep(stored: Path, log: TrainLog, answers: Views) -> None:
    """What a fold was trained for, and not its checkpoints, which are larger."""
    written = {"best_epoch": log.best_epoch, "epoch_s": log.epoch_s if math.isfinite(log.epoch_s) else None}
    write_json(stored.with_suffix(".json"), written)
    write_bytes(stored, np.stack([answers.both, answers.text, answers.image]).tobytes())
    remove_folder(stored.with_suffix(""))


def score(classifier: Classifier, train_targets: Targets, dev: Encoded, held_out: HeldOut | None) -> Evaluation:
    """Thresholds and figures of a finished training: from its out-of-fold answers, with dev beside them; from
    dev where there are none."""
    names, objective = classifier.labels.names, classifier.config.objective
    on_dev = views(classifier, dev)
    if held_out is None:
        outputs = SplitOutputs("dev", names, on_dev.both, dev.targets, on_dev.alone())
        return fit_and_evaluate(outputs, objective, train_targets)
    folds = held_out.views
    outputs = SplitOutputs("out-of-fold train", names, folds.both, train_targets, folds.alone())
    evaluation = fit_and_evaluate(outputs, objective, train_targets)
    beside = evaluate(SplitOutputs("dev", names, on_dev.both, dev.targets), evaluation.thresholds, train_targets)
    return replace(evaluation, rows=(*evaluation.rows, *beside.rows))
