"""Cross-validation: out-of-fold probabilities for the training split, by models that were not trained on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.core.storage.files import read_json, remove_folder, write_bytes, write_json
from distill.data.dividing.stratify import stratified_folds
from distill.data.groups import GroupColumns
from distill.data.likeness import groups_of
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.distributed import on_first_process
from distill.model.training_log import TrainLog
from distill.scoring.answers import OUT_OF_FOLD
from distill.scoring.calibration import Calibration, fit_calibration, label_rates
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds, fit_and_evaluate
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.probabilities import to_probabilities
from distill.training.calibrate import calibrate, fold_in
from distill.training.trainer import CheckpointFolder, Loss, TrainingData, train_model


@dataclass(frozen=True)
class ModalityProbabilities:
    """Probabilities float32 (N, L) of one model for the same examples: with `both` modalities, and with only their
    text or only their image."""

    both: Probabilities
    text: Probabilities
    image: Probabilities

    def alone(self, encoded: EncodedDataset) -> dict[str, Probabilities]:
        """By the name of the modality, for `SplitOutputs.alone`, of those that any of these examples has."""
        has_text, has_image = (bool(column.any()) for column in encoded.present.T)
        both = {"text": (self.text, has_text), "image": (self.image, has_image)}
        return {name: probabilities for name, (probabilities, has_any) in both.items() if has_any}


def probabilities_by_modality(
    classifier: Classifier, encoded: EncodedDataset, as_trained: bool = False
) -> ModalityProbabilities:
    """Run a model over the examples as they are, without images and without texts; `as_trained` as in
    `Classifier.outputs`."""
    outputs = classifier.outputs(encoded, as_trained)
    pooled = classifier.with_pooled(encoded, outputs)
    alone = [classifier.logits(pooled.without(modality)) for modality in ("image", "text")]
    groups = classifier.labels.group_columns
    return ModalityProbabilities(*(to_probabilities(logits, groups) for logits in (outputs.logits, *alone)))


@dataclass(frozen=True)
class Fold:
    """Training examples of one fold model, and `held_out_rows`, the examples that it predicts: int64 (M,), row
    indices into the training split."""

    train: EncodedDataset
    held_out_rows: NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """The folds of the training split `data.train`; early stopping uses `data.dev`."""

    data: TrainingData
    parts: list[Fold]

    @classmethod
    def stratified(cls, data: TrainingData, count: int, seed: int) -> Folds:
        """`count` folds with every label in proportion; each row is held out once, with those that have its text or
        an image that looks the same. Raises DataError if too few."""
        groups = groups_of(data.train.content_keys())
        parts, rows = stratified_folds(data.train.targets, count, seed, groups), np.arange(len(data.train))
        return cls(data, [Fold(data.train.subset(np.setdiff1d(rows, part)), part) for part in parts])


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold probabilities for the training split, the best epoch of each fold, and the mean seconds of its
    epochs, training and validation; none of a fold that was killed after its last epoch.

    The probabilities are calibrated by `calibration`, which is fitted to all of them and belongs to the model of
    the whole split, too: two numbers a label, which change no decision."""

    probabilities: ModalityProbabilities
    calibration: Calibration
    epochs: tuple[int, ...]
    epoch_s: tuple[float, ...]

    def median_epoch(self) -> int:
        """How many epochs to train on the whole split: the median of the folds' best, the lower of two."""
        return sorted(self.epochs)[(len(self.epochs) - 1) // 2]


def predict_out_of_fold(
    classifier: Classifier,
    folds: Folds,
    make_loss: Callable[[], Loss],
    checkpoints: CheckpointFolder,
    on_fold_end: Callable[[int, Classifier], None] | None = None,
    max_folds: int | None = None,
) -> OutOfFold:
    """Train a copy of the untrained `classifier` in each fold and predict the rows that the fold holds out.

    A fold's probabilities are stored beside its checkpoints when it is done, so that a resumed run does not train
    it again; `on_fold_end` gets its number and model just before. With `max_folds`, only the first that many folds
    are trained, and the rows of the others stay 0.
    """
    targets, logs = folds.data.train.targets, []
    result = ModalityProbabilities(*(np.zeros_like(targets) for _ in range(3)))
    for number, fold in enumerate(folds.parts[:max_folds], 1):
        path = checkpoints.folder / f"fold{number}.float32"
        if not path.is_file():
            sizes = f"{len(fold.train)} examples train, {len(fold.held_out_rows)} are held out"
            note(f"fold {number} of {len(folds.parts)}: {sizes}")
            model = replace(classifier, network=copy.deepcopy(classifier.network))
            data = TrainingData(fold.train, folds.data.dev)
            log = train_model(model.network, model.config, data, make_loss(), checkpoints.child(f"fold{number}"))
            if on_fold_end is not None:
                on_fold_end(number, model)
            unseen = folds.data.train.subset(fold.held_out_rows)
            _write_fold(path, log, probabilities_by_modality(model, unseen, as_trained=True))
        stored = _read_fold(path, (3, len(fold.held_out_rows), targets.shape[1]))
        for array, values in zip((result.both, result.text, result.image), stored, strict=True):
            array[fold.held_out_rows] = values
        logs.append(read_json(path.with_suffix(".json"), RunError))
    calibration = _calibrate(result, folds, targets, classifier.labels.group_columns, len(logs))
    epochs = tuple(int(log["best_epoch"]) for log in logs)
    epoch_s = tuple(float(log["epoch_s"]) for log in logs if log["epoch_s"] is not None)
    return OutOfFold(result, calibration, epochs, epoch_s)


def _calibrate(
    result: ModalityProbabilities, folds: Folds, targets: Targets, groups: GroupColumns, trained: int
) -> Calibration:
    """Calibrate the rows of the first `trained` folds, in place."""
    rows = np.concatenate([fold.held_out_rows for fold in folds.parts[:trained]])
    calibration = fit_calibration(result.both[rows], targets[rows], label_rates(targets), groups)
    for array in (result.both, result.text, result.image):
        array[rows] = calibration.calibrate(array[rows], groups)
    return calibration


def _read_fold(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    content = path.read_bytes()
    if len(content) != 4 * np.prod(shape):
        raise RunError(f"{path}: has {len(content)} bytes, not probabilities {shape}; remove it and --resume")
    return np.frombuffer(content, dtype=np.float32).reshape(shape)


@on_first_process
def _write_fold(path: Path, log: TrainLog, probabilities: ModalityProbabilities) -> None:
    """Keep what the fold was trained for, and remove its checkpoints, which are larger."""
    epoch_s = log.epoch_s if math.isfinite(log.epoch_s) else None
    write_json(path.with_suffix(".json"), {"best_epoch": log.best_epoch, "epoch_s": epoch_s})
    write_bytes(path, np.stack([probabilities.both, probabilities.text, probabilities.image]).tobytes())
    if (checkpoints := path.with_suffix("")).is_dir():  # a probe has none
        remove_folder(checkpoints)


def calibrate_and_evaluate(
    classifier: Classifier, train: EncodedDataset, dev: EncodedDataset, out_of_fold: OutOfFold | None
) -> Evaluation:
    """Calibrate a trained network, in place, fit its thresholds and evaluate it: on its out-of-fold probabilities,
    with dev as a second row; on dev where there are none."""
    train_targets = train.targets
    if out_of_fold is None:
        calibration = calibrate(classifier, dev, train_targets)
    else:
        calibration = out_of_fold.calibration
        fold_in(classifier.network, calibration)
    labels, objective = classifier.labels, classifier.config.threshold_objective
    on_dev = probabilities_by_modality(classifier, dev)
    if out_of_fold is None:
        outputs = SplitOutputs("dev", labels, on_dev.both, dev.targets, on_dev.alone(dev))
        return fit_and_evaluate(outputs, objective, train_targets, calibration)
    folds = out_of_fold.probabilities
    outputs = SplitOutputs(OUT_OF_FOLD, labels, folds.both, train_targets, folds.alone(train))
    evaluation = fit_and_evaluate(outputs, objective, train_targets, calibration)
    dev_outputs = SplitOutputs("dev", labels, on_dev.both, dev.targets)
    dev_rows = evaluate_thresholds(dev_outputs, evaluation.thresholds, train_targets).rows
    return replace(evaluation, rows=(*evaluation.rows, *dev_rows))
