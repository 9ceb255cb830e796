"""Training a student on labels and on its teachers' soft targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.core.settings.recipe import StudentConfig
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits
from distill.data.groups import describe_groups
from distill.data.labels import LabelSet
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import BatchTargets, EncodedDataset
from distill.model.outputs import Outputs
from distill.model.soft_targets import SoftTargets, held_out_logits
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.metrics import positive_rates
from distill.training.focal import focal_loss
from distill.training.folds import Fold, Folds, OutOfFold, calibrate_and_evaluate, predict_out_of_fold
from distill.training.run_writer import finish_run
from distill.training.trainer import CheckpointFolder, Loss, TrainingData, train_model
from student.losses import DistillationLoss, check_features
from student.verdict import DistillationVerdict, show_verdict


@dataclass(frozen=True)
class DistillationTargets:
    """What a student learns from its teachers: `whole` covers the training split and the `unlabelled` examples that
    join it; each of `folds` covers the training split, and perhaps some of these, by a teacher that was not trained
    on a part of it."""

    whole: SoftTargets
    folds: list[SoftTargets] = field(default_factory=list)
    unlabelled: list[Example] = field(default_factory=list)

    def held_out(self) -> DistillationTargets:
        """The same, but for the student of the whole split every training example has the logits of the fold's
        teacher that was not trained on it. What no fold holds out, such as unlabelled examples, keeps its own.
        Features stay those of one teacher. Raises RunError without folds.

        A teacher tells little of an example that it has fitted but the label that it was given. A fold's student
        is still taught by its fold's teacher alone: the other folds' teachers have been trained on the examples
        that it is judged on, and a student that imitates them answers these far better than any new example. With
        labels drawn at random, it would seem to know them.
        """
        if not self.folds:
            raise RunError(
                "student.distill.held_out=true needs a teacher that was trained with folds: train it with "
                "--set teacher.folds=3, or set student.distill.held_out=false"
            )
        return replace(self, whole=self.whole.with_logits(held_out_logits(self.folds)))


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
        """Of its folder and of its arrays in control.npz."""
        arm = "distilled" if self.data.train.teacher is not None else "control"
        return f"{arm}-seed{self.classifier.config.seed}"

    def out_of_fold(self, checkpoints: CheckpointFolder) -> OutOfFold:
        """Train a model per fold and predict the training split with them."""
        return predict_out_of_fold(self.classifier, self.folds, self.make_loss, checkpoints.child(self.name))


def prepare_student(
    config: StudentConfig, splits: Splits, targets: DistillationTargets, distilled: bool
) -> UntrainedStudent:
    """Pretrained encoders, a new head and the encoded data. Both arms use the teacher's folds; the unlabelled
    examples join the distilled student's training on the whole split, and in folds those that the fold's teacher
    has answered.

    Raises RunError if the teacher's labels are not this dataset's, its soft targets lack some of the examples, or
    the recipe wants folds that it does not have; BackboneError, RecipeError for an augmentation that the tokenizer
    has no mask for, ImageError, and OutputError for a feature cache that cannot be written.
    """
    check_labels(targets.whole, splits.labels)
    if config.out_of_fold and not targets.folds:
        raise RunError(
            "student.out_of_fold=true needs a teacher that was trained with folds: train it with "
            "--set teacher.folds=3, or set student.out_of_fold=false"
        )
    if distilled:
        check_features(config.distill, targets.whole.outputs.map(lambda array: array.shape[1]))
    classifier = Classifier.pretrained("student", config, splits.labels, [e.text for e in splits.train])
    unlabelled = targets.unlabelled if distilled else []
    content_hashes = [content_hash(example) for example in (*splits.train, *unlabelled)]
    soft = targets.whole.select(content_hashes) if distilled else None
    train_set = classifier.encode_train([*splits.train, *unlabelled], soft)
    labelled = train_set.subset(np.arange(len(splits.train)))
    rates = torch.from_numpy(positive_rates(labelled.targets))
    classifier.network.initialise_bias(rates, splits.labels.group_columns)
    dev = classifier.encode(splits.dev)
    parts = [_fold(train_set, len(labelled), teacher, content_hashes, distilled) for teacher in targets.folds]
    folds = Folds(TrainingData(labelled, dev), parts)
    make_loss = loss_factory(config, classifier, soft)
    return UntrainedStudent(classifier, TrainingData(train_set, dev), labelled, folds, make_loss)


def check_labels(soft: SoftTargets, labels: LabelSet) -> None:
    """Raise RunError if a teacher's labels, or their groups, are not those of the data."""
    if soft.labels != labels.names:
        raise RunError(
            f"the teacher knows {len(soft.labels)} labels and the data has {len(labels)}, or in another order; "
            "give the labels.txt that the teacher was trained with"
        )
    if soft.groups != labels.groups:
        raise RunError(
            f"the teacher's groups of labels are {describe_groups(soft.groups)}, and the student's "
            f"{describe_groups(labels.groups)}; train both with the same"
        )


def fit_student(
    config: StudentConfig,
    splits: Splits,
    targets: DistillationTargets,
    run: CheckpointFolder,
    run_control: Callable[[], DistillationVerdict] | None = None,
    baseline: BaselineAnswers | None = None,
) -> Checkpoint:
    """Train on splits.train with the teacher's outputs, stop early on splits.dev, and write the run to
    `run.folder`.

    With `config.out_of_fold`, thresholds and metrics come from out-of-fold probabilities of the training split,
    each fold distilled from the teacher that was not trained on its held-out part. `run_control`, called once the
    student is trained, gives the verdict of the control experiment (`student.control`). A `baseline` that answered
    the rows of the metrics is compared with.

    Raises as `prepare_student`; RunError also for features to match that an ensemble does not have, and for a loss
    that is not finite, DataError for a dev split on which no thresholds can be fitted, and OutputError for a file
    that cannot be written.
    """
    student, training = prepare_student(config, splits, targets, distilled=True), run.child("training")
    student.classifier.warn_of_texts(splits)
    out_of_fold, epochs = None, None
    if config.out_of_fold:
        out_of_fold = student.out_of_fold(training)
        epochs = out_of_fold.median_epoch()
        note(f"training on all {len(student.data.train)} examples for {epochs} epochs, as the folds say")
    network = student.classifier.network
    log = train_model(network, config, student.data, student.make_loss(), training.child("all"), epochs)
    evaluation = calibrate_and_evaluate(student.classifier, student.labelled, student.data.dev, out_of_fold)
    evaluation = evaluation.beside(baseline, "the student")
    metrics = evaluation.to_json() | {"training": asdict(log), "teacher_sha256": targets.whole.teacher_sha256}
    verdict = None if run_control is None else run_control()
    if verdict is not None:
        metrics["distillation"] = verdict.to_json()
    finished = finish_run(run.folder, student.classifier, evaluation.thresholds, log, metrics)
    evaluation.show("Student")
    if verdict is not None:
        show_verdict(verdict)
    return finished


def loss_factory(
    config: StudentConfig, classifier: Classifier, soft: Outputs[NDArray[np.float32]] | None
) -> Callable[[], Loss]:
    """Makes the loss of each training: DistillationLoss, with weights of its own that the seed alone decides;
    without soft targets, the focal loss on the labels."""
    groups = classifier.labels.group_columns
    if soft is None:

        def loss(outputs: Outputs[Tensor], targets: BatchTargets) -> Tensor:
            return focal_loss(outputs.logits, targets.labels, config.focal, groups)

        return lambda: loss
    widths, teacher_widths = classifier.output_widths(), soft.map(lambda array: array.shape[1])

    def make_loss() -> Loss:
        torch.manual_seed(config.seed)
        return DistillationLoss(config, widths, teacher_widths, groups)

    return make_loss


def _fold(
    train: EncodedDataset, labelled: int, teacher: SoftTargets, content_hashes: list[str], distilled: bool
) -> Fold:
    """Of a training set whose first rows are `labelled`."""
    unseen, answered = teacher.unseen(content_hashes[:labelled]), set(teacher.content_hashes)
    rest = np.flatnonzero(~unseen)
    if distilled:
        more = [row for row in range(labelled, len(train)) if content_hashes[row] in answered]
        rest = np.concatenate([rest, np.array(more, dtype=rest.dtype)])
    soft = teacher.select([content_hashes[row] for row in rest]) if distilled else None
    return Fold(replace(train.subset(rest), teacher=soft), np.flatnonzero(unseen))
