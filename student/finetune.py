"""Quantisation-aware training (QAT): a trained student goes on training in int8 arithmetic, under its teacher."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.core.settings.recipe import FinetuneConfig, StudentConfig
from distill.data.checks import content_hash
from distill.data.dataset import Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds
from distill.scoring.metrics import logit
from distill.scoring.thresholds import Thresholds, carry_over
from distill.training.calibrate import calibrate
from distill.training.folds import calibrate_and_evaluate, probabilities_by_modality
from distill.training.run_writer import finish_run
from distill.training.trainer import CheckpointFolder, TrainingData, train_model
from student.fake_quant import insert_fake_quant, remove_fake_quant
from student.train import DistillationTargets, check_labels, loss_factory

CALIBRATION_BATCHES = 8


def finetune_student(
    student: Checkpoint,
    config: FinetuneConfig,
    splits: Splits,
    targets: DistillationTargets,
    weight_limit: int,
    run: CheckpointFolder,
) -> Checkpoint:
    """Train `student` further with every linear layer in int8 arithmetic, and write a run to `run.folder`, with the
    activation ranges: with them, the search of `distill export --int8` has one more candidate.

    The loss is that of the student's own recipe. Thresholds that were fitted out of fold are moved to the new
    outputs; others are fitted on dev again. Raises RunError for a run that is not a student, for other labels or
    examples than the teacher's soft targets have and for a loss that is not finite, ImageError and OutputError.
    """
    classifier, settings = student.classifier, settings_of(student)
    check_labels(targets.whole, classifier.labels)
    seed = settings.seed if config.seed is None else config.seed
    examples = [*splits.train, *targets.unlabelled]
    soft = targets.whole.select([content_hash(example) for example in examples])
    data = TrainingData(classifier.encode_train(examples, soft), classifier.encode(splits.dev))
    logits_before = logit(classifier.probabilities(data.train))
    settings = replace(
        settings,
        epochs=config.epochs,
        patience=config.epochs,
        learning_rate=config.learning_rate,
        head_learning_rate=config.learning_rate,
        precision="fp32",  # bf16 rounds more coarsely than int8
        seed=seed,
        head_start="random",  # it goes on from the head that it has
    )
    classifier.warn_of_texts(splits)
    insert_fake_quant(classifier.network, weight_limit)
    _observe(classifier, data.train, seed)
    note(f"fine-tuning in int8 arithmetic, weights within +-{weight_limit}")
    make_loss = loss_factory(settings, classifier, soft)
    log = train_model(classifier.network, settings, data, make_loss(), run.child("training"))
    evaluation = _evaluate(classifier, data, student.thresholds, logits_before)
    ranges = remove_fake_quant(classifier.network)
    metrics = evaluation.to_json() | {"training": asdict(log), "teacher_sha256": targets.whole.teacher_sha256}
    finished = finish_run(run.folder, classifier, evaluation.thresholds, log, metrics, ranges)
    evaluation.show("Student in int8 arithmetic")
    return finished


def settings_of(student: Checkpoint) -> StudentConfig:
    """A student's recipe. Raises RunError for a run that is not a student."""
    settings = student.classifier.config
    if not isinstance(settings, StudentConfig):
        raise RunError(f"{student.folder}: is a {student.classifier.kind}; give a student's run")
    return settings


def _observe(classifier: Classifier, train_set: EncodedDataset, seed: int) -> None:
    """Observe a few batches before the first step, which would round everything to 0 with empty ranges."""
    network = classifier.network
    network.train()
    torch.manual_seed(seed)  # dropout is on
    size = classifier.config.batch_size
    with torch.no_grad():
        for start in range(0, min(len(train_set), CALIBRATION_BATCHES * size), size):
            batch = train_set.collate([train_set[row] for row in range(start, min(start + size, len(train_set)))])
            network.outputs(**batch.inputs)


def _evaluate(
    classifier: Classifier, data: TrainingData, thresholds: Thresholds, logits_before: NDArray[np.float64]
) -> Evaluation:
    if thresholds.fitted_on.split == "dev":
        return calibrate_and_evaluate(classifier, data.train, data.dev, None)
    calibration = calibrate(classifier, data.dev, data.train.targets)
    moved = carry_over(thresholds, logits_before, logit(classifier.probabilities(data.train)), "int8 arithmetic")
    moved = replace(moved, calibration=calibration)
    dev = probabilities_by_modality(classifier, data.dev)
    outputs = SplitOutputs("dev", classifier.labels, dev.both, data.dev.targets, dev.alone(data.dev))
    return evaluate_thresholds(outputs, moved, data.train.targets)
