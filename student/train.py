"""Training a student on labels and on its teachers' soft targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.core.errors import RunError
from distill.core.recipe import StudentConfig
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import BatchTargets, EncodedDataset
from distill.model.outputs import Outputs
from distill.model.soft_targets import SoftTargets
from distill.training.folds import Fold, Folds, OutOfFold, evaluate_run, out_of_fold
from distill.training.run import finish
from distill.training.trainer import Loss, TrainingData, Workspace, train_model
from student.losses import DistillationLoss, labels_loss
from student.verdict import Verdict, show


@dataclass(frozen=True)
class DistillationTargets:
    """What a student learns from its teachers: `whole` covers the training split and the `unlabelled` examples that
    join it, and each of `folds` covers the training split, by a teacher that was not trained on a part of it."""

    whole: SoftTargets
    folds: list[SoftTargets] = field(default_factory=list)
    unlabelled: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class UntrainedStudent:
    """A student and its data before training, distilled or, as a control, on the labels alone. `labelled` is the
    training split itself: `data.train` without unlabelled examples."""

    classifier: Classifier
    data: TrainingData
    labelled: EncodedDataset
    folds: Folds
    make_loss: Callable[[], Loss]

    @property
    def name(self) -> str:
        """Of its folder and its rows."""
        arm = "distilled" if self.data.train.teacher is not None else "control"
        return f"{arm}-seed{self.classifier.config.seed}"

    def out_of_fold(self, workspace: Workspace) -> OutOfFold:
        """Train a model per fold; what they say of the training split."""
        return out_of_fold(self.classifier, self.folds, self.make_loss, workspace / self.name)


def prepare(
    config: StudentConfig, splits: Splits, targets: DistillationTargets, distilled: bool
) -> UntrainedStudent:
    """Pretrained encoders, a fresh head and the data. Both arms have the teacher's folds; the unlabelled examples
    join the distilled student's training on the whole split, not its folds.

    Raises RunError when the teacher's labels are not this dataset's, or folds are wanted and it has none.
    """
    if targets.whole.labels != splits.labels.names:
        raise RunError(
            f"the teacher knows {len(targets.whole.labels)} labels and the data has {len(splits.labels)}, or in "
            "another order; give the labels.txt that the teacher was trained with"
        )
    if config.out_of_fold and not targets.folds:
        raise RunError(
            "student.out_of_fold=true needs a teacher that was trained with folds: train it with "
            "--set teacher.folds=3, or set student.out_of_fold=false"
        )
    classifier = Classifier.pretrained("student", config, splits.labels, [e.text for e in splits.train])
    unlabelled = targets.unlabelled if distilled else []
    content = [content_hash(example) for example in (*splits.train, *unlabelled)]
    soft = targets.whole.pick(content) if distilled else None
    train_set = classifier.encode_train(splits.train, soft, unlabelled)
    labelled = train_set.subset(np.flatnonzero(train_set.labelled))
    classifier.network.start_from_rates(torch.from_numpy(labelled.targets.mean(0)))
    dev = classifier.encode(splits.dev)
    parts = [_fold(labelled, teacher, content[: len(labelled)], distilled) for teacher in targets.folds]
    folds = Folds(TrainingData(labelled, dev), parts)
    make_loss = make_losses(config, classifier, soft)
    return UntrainedStudent(classifier, TrainingData(train_set, dev), labelled, folds, make_loss)


def train(
    config: StudentConfig,
    splits: Splits,
    targets: DistillationTargets,
    run: Workspace,
    compare: Callable[[], Verdict] | None = None,
) -> Checkpoint:
    """Train on splits.train with the teacher's outputs, stop on splits.dev, and write the run to `run.folder`.

    With `config.out_of_fold`, thresholds and figures come from out-of-fold predictions of the training split,
    each fold distilled from the teacher that was not trained on its held-out part. `compare` judges distillation
    itself (`control.compare`), once the student is trained. Raises RunError as `prepare`.
    """
    student, training = prepare(config, splits, targets, distilled=True), run / "training"
    held_out, epochs = None, None
    if config.out_of_fold:
        held_out = student.out_of_fold(training)
        epochs = held_out.median_epoch()
        note(f"training on all {len(student.data.train)} examples for {epochs} epochs, as the folds say")
    network = student.classifier.network
    log = train_model(network, config, student.data, student.make_loss(), training / "all", epochs)
    evaluation = evaluate_run(student.classifier, student.labelled.targets, student.data.dev, held_out)
    evaluation.show("Student")
    metrics = evaluation.to_json() | {"training": asdict(log), "teacher_sha256": targets.whole.teacher_sha256}
    if compare is not None:
        verdict = compare()
        show(verdict)
        metrics["distillation"] = verdict.to_json()
    return finish(run.folder, student.classifier, evaluation.thresholds, log, metrics)


def _fold(train: EncodedDataset, teacher: SoftTargets, content: list[str], distilled: bool) -> Fold:
    unseen = teacher.unseen(content)
    rest = np.flatnonzero(~unseen)
    soft = teacher.pick([content[row] for row in rest]) if distilled else None
    return Fold(replace(train.subset(rest), teacher=soft), np.flatnonzero(unseen))


def make_losses(
    config: StudentConfig, classifier: Classifier, soft: Outputs[NDArray[np.float32]] | None
) -> Callable[[], Loss]:
    """A loss for each training, as it may have weights of its own, which the seed alone decides; without a
    teacher's outputs, the focal loss on the labels."""
    if soft is None:

        def loss(outputs: Outputs[Tensor], targets: BatchTargets) -> Tensor:
            return labels_loss(outputs.logits, targets, config.focal)

        return lambda: loss
    network = classifier.network
    widths = (network.text.width, network.image.width)

    def make() -> Loss:
        torch.manual_seed(config.seed)
        return DistillationLoss(config, widths, (soft.text.shape[1], soft.image.shape[1]))

    return make
