"""Cross-validation: probabilities for training examples by models that were not trained on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.files import read_json, remove_folder, write_bytes, write_json
from distill.core.terminal import note
from distill.data.stratify import stratified_folds
from distill.model import distributed as processes
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.training_log import TrainLog
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds, fit_and_evaluate
from distill.scoring.metrics import Probabilities, Targets, sigmoid
from distill.training.trainer import Loss, TrainingData, Workspace, train_model


@dataclass(frozen=True)
class ModalityProbabilities:
    """Probabilities float32 (N, L) of one model on the same examples: with `both` modalities, and with only their
    text or only their image."""

    both: Probabilities
    text: Probabilities
    image: Probabilities

    def alone(self) -> dict[str, Probabilities]:
        """For `SplitOutputs.alone`."""
        return {"text": self.text, "image": self.image}


def by_modality(classifier: Classifier, encoded: EncodedDataset) -> ModalityProbabilities:
    """Run a model over the examples three times."""
    parts = (encoded, encoded.without("image"), encoded.without("text"))
    return ModalityProbabilities(*(sigmoid(classifier.logits(part)) for part in parts))


@dataclass(frozen=True)
class Fold:
    """A model of its own: trained on `train`, asked about the rows `held_out` of the whole training split."""

    train: EncodedDataset
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """The folds of `data.train`; dev stops each of their trainings."""

    data: TrainingData
    parts: list[Fold]

    @classmethod
    def stratified(cls, data: TrainingData, count: int, seed: int) -> Folds:
        """Every label in proportion; each fold holds out a part of its own. Raises DataError for too few rows."""
        parts, everything = stratified_folds(data.train.targets, count, seed), np.arange(len(data.train))
        return cls(data, [Fold(data.train.subset(np.setdiff1d(everything, part)), part) for part in parts])


@dataclass(frozen=True)
class OutOfFold:
    """The folds' probabilities for the examples that they were not trained on, the best epoch of each, and the mean
    seconds of one of its epochs, training and validation; without the folds that were trained before."""

    probabilities: ModalityProbabilities
    epochs: tuple[int, ...]
    epoch_s: tuple[float, ...]

    def median_epoch(self) -> int:
        """How long to train on everything: the median of the folds' best epochs, the shorter of two."""
        return sorted(self.epochs)[(len(self.epochs) - 1) // 2]


def out_of_fold(
    classifier: Classifier,
    folds: Folds,
    make_loss: Callable[[], Loss],
    workspace: Workspace,
    finished: Callable[[int, Classifier], None] | None = None,
    first: int | None = None,
) -> OutOfFold:
    """Train a copy of `classifier`, untrained, for each fold and put their probabilities together.

    A fold's probabilities are stored in the workspace when it is done, so that a resumed run does not train it
    again; `finished` is called with its number and model just before. With `first`, only that many folds answer,
    and the rows of the others stay 0.
    """
    targets, logs = folds.data.train.targets, []
    result = ModalityProbabilities(*(np.zeros_like(targets) for _ in range(3)))
    for number, fold in enumerate(folds.parts[:first], 1):
        stored = workspace.folder / f"fold{number}.float32"
        if not stored.is_file():
            sizes = f"{len(fold.train)} examples train, {len(fold.held_out)} are held out"
            note(f"fold {number} of {len(folds.parts)}: {sizes}")
            model = replace(classifier, network=copy.deepcopy(classifier.network))
            data = TrainingData(fold.train, folds.data.dev)
            log = train_model(model.network, model.config, data, make_loss(), workspace / f"fold{number}")
            if finished is not None:
                finished(number, model)
            _keep(stored, log, by_modality(model, folds.data.train.subset(fold.held_out)))
        part = _read(stored, (3, len(fold.held_out), targets.shape[1]))
        for array, values in zip((result.both, result.text, result.image), part, strict=True):
            array[fold.held_out] = values
        logs.append(read_json(workspace.folder / f"fold{number}.json", RunError))
    epochs = tuple(int(log["best_epoch"]) for log in logs)
    return OutOfFold(result, epochs, tuple(float(log["epoch_s"]) for log in logs if log["epoch_s"] is not None))


def _read(stored: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    content = stored.read_bytes()
    if len(content) != 4 * np.prod(shape):
        raise RunError(f"{stored}: has {len(content)} bytes, not probabilities {shape}; remove it and --resume")
    return np.frombuffer(content, dtype=np.float32).reshape(shape)


@processes.by_first
def _keep(stored: Path, log: TrainLog, answers: ModalityProbabilities) -> None:
    """What a fold was trained for, and not its checkpoints, which are larger."""
    written = {"best_epoch": log.best_epoch, "epoch_s": log.epoch_s if math.isfinite(log.epoch_s) else None}
    write_json(stored.with_suffix(".json"), written)
    write_bytes(stored, np.stack([answers.both, answers.text, answers.image]).tobytes())
    remove_folder(stored.with_suffix(""))


def evaluate_run(
    classifier: Classifier, train_targets: Targets, dev: EncodedDataset, held_out: OutOfFold | None
) -> Evaluation:
    """Thresholds and figures of a finished training: from its out-of-fold answers, with dev beside them; from
    dev where there are none."""
    names, objective = classifier.labels.names, classifier.config.threshold_objective
    on_dev = by_modality(classifier, dev)
    if held_out is None:
        outputs = SplitOutputs("dev", names, on_dev.both, dev.targets, on_dev.alone())
        return fit_and_evaluate(outputs, objective, train_targets)
    folds = held_out.probabilities
    outputs = SplitOutputs("out-of-fold train", names, folds.both, train_targets, folds.alone())
    evaluation = fit_and_evaluate(outputs, objective, train_targets)
    beside = evaluate_thresholds(
        SplitOutputs("dev", names, on_dev.both, dev.targets), evaluation.thresholds, train_targets
    )
    return replace(evaluation, rows=(*evaluation.rows, *beside.rows))
