"""Training a student on labels and a teacher's stored logits. Knows SoftTargets, no teacher."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from distill.checkpoint import Checkpoint, finish
from distill.classifier import Classifier
from distill.data import Splits
from distill.errors import RunError
from distill.focal import focal_loss
from distill.integrity import content_hash
from distill.metrics import sigmoid
from distill.recipe import StudentConfig
from distill.scoring import fit_and_score
from distill.soft_targets import SoftTargets
from distill.training import train_model
from student.losses import distillation_loss


def train(config: StudentConfig, splits: Splits, targets: SoftTargets, folder: Path, resume: bool) -> Checkpoint:
    """Train on splits.train with the teacher's logits, stop on splits.dev, and write the run to `folder`.

    Raises RunError when the teacher's labels are not this data set's.
    """
    if targets.labels != splits.labels.names:
        raise RunError(
            f"the teacher knows {len(targets.labels)} labels and the data has {len(splits.labels)}, or in another "
            "order; give the labels.txt that the teacher was trained with"
        )
    classifier = Classifier.pretrained("student", config, splits.labels)
    soft = targets.pick([content_hash(example) for example in splits.train])
    train_set, dev_set = classifier.encode(splits.train, soft), classifier.encode(splits.dev)
    classifier.network.start_from_rates(torch.from_numpy(train_set.targets.mean(0)))

    def loss(logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        if teacher is None:  # validation: the labels alone say how good a student is
            return focal_loss(logits, labels, config.focal)
        return distillation_loss(logits, labels, teacher, config)

    log = train_model(classifier.network, config, train_set, dev_set, loss, folder / "training" / "all", resume)
    dev = sigmoid(classifier.logits(dev_set))
    names, objective = splits.labels.names, config.objective
    scored = fit_and_score(names, dev, dev_set.targets, train_set.targets, objective, "dev")
    scored.show("Student")
    metrics = scored.to_json() | {"training": asdict(log), "teacher_sha256": targets.teacher_sha256}
    return finish(folder, classifier, scored.thresholds, log, metrics)
