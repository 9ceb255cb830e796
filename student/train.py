"""Training a student on labels and on what teachers say. Knows SoftTargets, no teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.core.errors import RunError
from distill.core.recipe import StudentConfig
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import Encoded, Wanted
from distill.model.network import Outputs
from distill.model.soft_targets import Soft, SoftTargets
from distill.training.folds import Fold, HeldOut, out_of_fold, score
from distill.training.run import finish
from distill.training.trainer import Loss, train_model
from student.losses import DistillationLoss, labels_loss
from student.verdict import Verdict, show


@dataclass(frozen=True)
class Lessons:
    """What is taught: `targets` cover the training split and the `unlabelled` examples that join it, and each
    of `folds` covers the training split, by a teacher that was not trained on a part of it."""

    targets: SoftTargets
    folds: list[SoftTargets] = field(default_factory=list)
    unlabelled: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Pupil:
    """An untrained student with its data, `taught` by Lessons or, for the control, by the labels alone; `labelled`
    is `train` without unlabelled examples, the training split itself."""

    config: StudentConfig
    classifier: Classifier
    train: Encoded
    labelled: Encoded
    dev: Encoded
    folds: list[Fold]
    make_loss: Callable[[], Loss]

    @property
    def name(self) -> str:
        """Of its folder and its rows."""
        arm = "taught" if self.train.soft is not None else "control"
        return f"{arm}-seed{self.config.seed}"

    def answers_out_of_fold(self, folder: Path, resume: bool) -> HeldOut:
        """Train a model per fold; what they say of the training split."""
        sets = (self.folds, self.labelled, self.dev)
        return out_of_fold(self.classifier, self.config, *sets, self.make_loss, folder / self.name, resume)


def enrol(config: StudentConfig, splits: Splits, lessons: Lessons, taught: bool) -> Pupil:
    """Pretrained encoders, a fresh head and the data. The folds are those of the Lessons for both arms; the
    unlabelled examples join the taught student's training on the whole split, not its folds.

    Raises RunError when the teacher's labels are not this dataset's, or folds are wanted and it has none.
    """
    if lessons.targets.labels != splits.labels.names:
        raise RunError(
            f"the teacher knows {len(lessons.targets.labels)} labels and the data has {len(splits.labels)}, or in "
            "another order; give the labels.txt that the teacher was trained with"
        )
    if config.out_of_fold and not lessons.folds:
        raise RunError(
            "student.out_of_fold=true needs a teacher that was trained with folds: train it with "
            "--set teacher.folds=3, or set student.out_of_fold=false"
        )
    classifier = Classifier.pretrained("student", config, splits.labels, [e.text for e in splits.train])
    unlabelled = lessons.unlabelled if taught else []
    content = [content_hash(example) for example in (*splits.train, *unlabelled)]
    soft = lessons.targets.pick(content) if taught else None
    train_set = classifier.encode_train(splits.train, soft, unlabelled)
    labelled = train_set.subset(np.flatnonzero(train_set.labelled))
    classifier.network.start_from_rates(torch.from_numpy(labelled.targets.mean(0)))
    folds = [_fold(labelled, teacher, content[: len(labelled)], taught) for teacher in lessons.folds]
    make_loss = make_losses(config, classifier, soft)
    return Pupil(config, classifier, train_set, labelled, classifier.encode(splits.dev), folds, make_loss)


def train(
    config: StudentConfig,
    splits: Splits,
    lessons: Lessons,
    folder: Path,
    resume: bool,
    compare: Callable[[], Verdict] | None = None,
) -> Checkpoint:
    """Train on splits.train with the teacher's outputs, stop on splits.dev, and write the run to `folder`.

    With `config.out_of_fold`, thresholds and figures come from out-of-fold predictions of the training split,
    each fold taught by the teacher that was not trained on its held-out part. `compare` judges distillation
    itself (`control.compare`), once the student is trained. Raises RunError as `enrol`.
    """
    pupil = enrol(config, splits, lessons, taught=True)
    held_out, epochs = None, None
    if config.out_of_fold:
        held_out = pupil.answers_out_of_fold(folder / "training", resume)
        epochs = held_out.length()
        note(f"training on all {len(pupil.train)} examples for {epochs} epochs, as the folds say")
    network, loss, place = pupil.classifier.network, pupil.make_loss(), folder / "training" / "all"
    log = train_model(network, config, pupil.train, pupil.dev, loss, place, resume, epochs)
    scored = score(pupil.classifier, pupil.labelled.targets, pupil.dev, held_out)
    scored.show("Student")
    metrics = scored.to_json() | {"training": asdict(log), "teacher_sha256": lessons.targets.teacher_sha256}
    if compare is not None:
        verdict = compare()
        show(verdict)
        metrics["distillation"] = verdict.to_json()
    return finish(folder, pupil.classifier, scored.thresholds, log, metrics)


def _fold(train: Encoded, teacher: SoftTargets, content: list[str], taught: bool) -> Fold:
    unseen = teacher.unseen(content)
    rest = np.flatnonzero(~unseen)
    soft = teacher.pick([content[row] for row in rest]) if taught else None
    return Fold(replace(train.subset(rest), soft=soft), np.flatnonzero(unseen))


def make_losses(config: StudentConfig, classifier: Classifier, soft: Soft | None) -> Callable[[], Loss]:
    """A loss for each training, as it may have weights of its own, which the seed alone decides; without a
    teacher's outputs, the focal loss on the labels."""
    if soft is None:

        def loss(outputs: Outputs, wanted: Wanted) -> Tensor:
            return labels_loss(outputs.logits, wanted, config.focal)

        return lambda: loss
    network = classifier.network
    widths = (network.text.width, network.image.width)

    def make() -> Loss:
        torch.manual_seed(config.seed)
        return DistillationLoss(config, widths, (soft.text.shape[1], soft.image.shape[1]))

    return make
