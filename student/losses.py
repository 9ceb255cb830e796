"""The whole loss of distillation. Knows outputs, not where they come from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.core.errors import RunError
from distill.core.recipe import Focal, StudentConfig
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.training.focal import focal_loss


class DistillationLoss(nn.Module):
    """The focal loss on hard labels plus the losses on soft targets, features and label relations, weighted.

    The weights are those of `student.distill`; a term of weight 0 is not computed. The two projections from
    the student's widths to the teacher's are trained with the student and thrown away with this loss.
    In validation, where no teacher speaks, it is the focal loss on the labels.
    """

    def __init__(self, config: StudentConfig, widths: tuple[int, int], teacher_widths: tuple[int, int]) -> None:
        """`widths` are those of the text and the image features. Raises RunError when features are to be
        matched that the teacher's soft targets do not hold."""
        super().__init__()
        self.weights, self.focal = config.distill, config.focal
        self.text = _projection(self.weights.text_features, widths[0], teacher_widths[0], "text_features")
        self.image = _projection(self.weights.image_features, widths[1], teacher_widths[1], "image_features")

    def forward(self, outputs: Outputs[Tensor], targets: BatchTargets) -> Tensor:
        """Scalar >= 0 from outputs (B, ...) and their targets (B, ...)."""
        hard = labels_loss(outputs.logits, targets, self.focal)
        if targets.teacher is None:
            return hard
        w, logits, teacher = self.weights, outputs.logits, targets.teacher
        loss = w.hard_labels * hard
        if w.soft_targets > 0:
            loss = loss + w.soft_targets * soft_loss(logits, teacher.logits, w.temperature)
        if self.text is not None:
            loss = loss + w.text_features * feature_loss(self.text(outputs.text), teacher.text)
        if self.image is not None:
            loss = loss + w.image_features * feature_loss(self.image(outputs.image), teacher.image)
        if w.label_relations > 0:
            loss = loss + w.label_relations * relation_loss(logits, teacher.logits)
        return loss


def labels_loss(logits: Tensor, targets: BatchTargets, focal: Focal) -> Tensor:
    """The focal loss over the examples of a batch that have labels; 0 when none has."""
    if not targets.labelled.any():
        return logits.sum() * 0.0
    return focal_loss(logits[targets.labelled], targets.labels[targets.labelled], focal)


def soft_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 BCE(sigmoid(s / T), sigmoid(t / T)) less its least value, float (B, L) to a scalar >= 0.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, with one
    binary problem per label in place of the softmax; T^2 keeps the gradient's size as T changes. What is
    taken off is the teacher's own entropy: the value is then a Kullback-Leibler divergence, 0 for a student
    that says what the teacher says, and the gradient is the same.
    """
    soft = torch.sigmoid(teacher / temperature)
    cross = F.binary_cross_entropy_with_logits(logits / temperature, soft)
    least = F.binary_cross_entropy_with_logits(teacher / temperature, soft)
    return temperature**2 * (cross - least)


def feature_loss(projected: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine between a student's projected features and the teacher's, both float (B, W), in [0, 2].

    After Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", eq. 3; lengths are divided out, because
    the layer norm that follows in either network does so too.
    """
    return (1 - F.cosine_similarity(projected, teacher, dim=1)).mean()


def relation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two label-by-label correlation matrices over a batch, float (B, L) each.

    Which labels rise and fall together is what a teacher knows beyond each label for itself: Park et al. 2019,
    "Relational Knowledge Distillation", with labels related over a batch in place of pairs of examples. A
    batch of fewer than 3 examples relates nothing: 0.
    """
    if len(logits) < 3:
        return logits.sum() * 0.0
    return F.mse_loss(_correlations(logits), _correlations(teacher))


def _correlations(logits: Tensor) -> Tensor:
    columns = F.normalize(logits - logits.mean(0), dim=0, eps=1e-6)
    return columns.T @ columns


def _projection(weight: float, width: int, teacher_width: int, which: str) -> nn.Linear | None:
    if weight == 0:
        return None
    if teacher_width == 0:
        raise RunError(
            f"student.distill.{which}={weight}: an ensemble's features cannot be matched; "
            f"set student.distill.{which}=0 or give one --teacher"
        )
    return nn.Linear(width, teacher_width)
