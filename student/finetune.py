"""Fine-tuning a trained student in int8 arithmetic, under its teacher. Knows one student, no export."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.recipe import FinetuneConfig, StudentConfig
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.scoring.evaluation import Evaluation, SplitOutputs, evaluate_thresholds
from distill.scoring.thresholds import carry_over
from distill.training.folds import by_modality, evaluate_run
from distill.training.run import finish
from distill.training.trainer import TrainingData, Workspace, train_model
from student.fake_quant import prepare, strip
from student.train import DistillationTargets, make_losses


def fine_tune(
    student: Checkpoint,
    config: FinetuneConfig,
    splits: Splits,
    targets: DistillationTargets,
    weight_limit: int,
    run: Workspace,
) -> Checkpoint:
    """Go on training `student` with every linear layer in int8 arithmetic, and write a run to `run.folder` whose
    activation ranges `distill export --int8` uses instead of calibration.

    The loss is the student's own recipe's. Thresholds that were fitted out of fold are carried over to the new
    outputs; others are fitted on dev again. Raises RunError for a run that is no student.
    """
    classifier, settings = student.classifier, student.classifier.config
    if not isinstance(settings, StudentConfig):
        raise RunError(f"{student.folder}: is a {classifier.kind}; give a student's run")
    soft = targets.whole.pick([content_hash(example) for example in (*splits.train, *targets.unlabelled)])
    train_set = classifier.encode_train(splits.train, soft, targets.unlabelled)
    dev_set = classifier.encode(splits.dev)
    before = classifier.logits(train_set)
    settings = replace(
        settings,
        epochs=config.epochs,
        patience=config.epochs,
        learning_rate=config.learning_rate,
        head_learning_rate=config.learning_rate,
        precision="fp32",  # bf16 would round more coarsely than int8 does
    )
    prepare(classifier.network, weight_limit)
    _watch_ranges(classifier, train_set)
    note(f"fine-tuning in int8 arithmetic, weights within +-{weight_limit}")
    make_loss = make_losses(settings, classifier, soft)
    data = TrainingData(train_set, dev_set)
    log = train_model(classifier.network, settings, data, make_loss(), run / "training")
    scored = _score(student, classifier, train_set, dev_set, before)
    scored.show("Student in int8 arithmetic")
    ranges = strip(classifier.network)
    metrics = scored.to_json() | {"training": asdict(log), "teacher_sha256": targets.whole.teacher_sha256}
    return finish(run.folder, classifier, scored.thresholds, log, metrics, ranges)


def _watch_ranges(classifier: Classifier, train_set: EncodedDataset) -> None:
    """Start the ranges from a few batches, so that the first step does not round everything away."""
    network = classifier.network
    network.train()
    torch.manual_seed(classifier.config.seed)  # dropout is on
    size = classifier.config.batch_size
    with torch.no_grad():
        for start in range(0, min(len(train_set), 8 * size), size):
            batch = train_set.collate([train_set[row] for row in range(start, min(start + size, len(train_set)))])
            network.outputs(**batch.inputs)


def _score(
    student: Checkpoint,
    classifier: Classifier,
    train_set: EncodedDataset,
    dev_set: EncodedDataset,
    before: NDArray[np.float32],
) -> Evaluation:
    train_targets = train_set.targets[train_set.labelled]
    if student.thresholds.fitted_on.split == "dev":
        return evaluate_run(classifier, train_targets, dev_set, None)
    thresholds = carry_over(student.thresholds, before, classifier.logits(train_set), "int8 arithmetic")
    dev = by_modality(classifier, dev_set)
    outputs = SplitOutputs("dev", classifier.labels.names, dev.both, dev_set.targets, dev.alone())
    return evaluate_thresholds(outputs, thresholds, train_targets)
