"""The knowledge-distillation loss: focal loss on labels, KD on soft targets, feature and relation matching."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.core.errors import RunError
from distill.core.settings.recipe import DistillConfig, StudentConfig
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.training.focal import focal_loss
from distill.training.groups import centred, mean_over_decisions, with_group_divergences


class DistillationLoss(nn.Module):
    """labels * focal_loss + soft * kd_loss + (text + image) * feature_loss + relations * relation_loss.

    The weights are those of `student.distill`; a term of weight 0 is not computed. Two projections from the
    student's feature widths to the teacher's are trained with the student and dropped with this loss. Where the
    labels or the teacher's logits are NaN, unknown, they count in no term. In validation, where there are no soft
    targets, it is the focal loss on the labels. Labels of `groups` exclude each other.
    """

    def __init__(
        self,
        config: StudentConfig,
        widths: Outputs[int],
        teacher_widths: Outputs[int],
        groups: GroupColumns = NO_GROUPS,
    ) -> None:
        """The widths of both networks' outputs. Raises RunError for a feature weight above 0 with soft targets that
        hold no features."""
        super().__init__()
        self.weights, self.focal, self.groups = config.distill, config.focal, groups
        check_features(self.weights, teacher_widths)
        self.text = _projection(self.weights.text_features, widths.text, teacher_widths.text)
        self.image = _projection(self.weights.image_features, widths.image, teacher_widths.image)

    def forward(self, outputs: Outputs[Tensor], targets: BatchTargets) -> Tensor:
        """Scalar >= 0 from outputs (B, ...) and their targets (B, ...)."""
        hard_loss = focal_loss(outputs.logits, targets.labels, self.focal, self.groups)
        if targets.teacher is None:
            return hard_loss
        w, logits, teacher = self.weights, outputs.logits, targets.teacher
        loss = w.hard_labels * hard_loss
        if w.soft_targets > 0:
            loss = loss + w.soft_targets * kd_loss(logits, teacher.logits, w.temperature, self.groups)
        if self.text is not None:
            loss = loss + w.text_features * feature_loss(self.text(outputs.text), teacher.text)
        if self.image is not None:
            loss = loss + w.image_features * feature_loss(self.image(outputs.image), teacher.image)
        if w.label_relations > 0:
            both = (centred(part, self.groups) for part in (logits, teacher.logits))
            loss = loss + w.label_relations * relation_loss(*both)
        return loss


def check_features(weights: DistillConfig, teacher_widths: Outputs[int]) -> None:
    """Raise RunError for a feature weight above 0 with soft targets that hold no features."""
    for which, width in (("text_features", teacher_widths.text), ("image_features", teacher_widths.image)):
        weight = getattr(weights, which)
        if weight > 0 and width == 0:
            raise RunError(
                f"student.distill.{which}={weight}: an ensemble's features cannot be matched, and answers have "
                f"none; set student.distill.{which}=0 or give one --teacher"
            )


def kd_loss(logits: Tensor, teacher: Tensor, temperature: float, groups: GroupColumns = NO_GROUPS) -> Tensor:
    """T^2 KL(sigmoid(t / T) || sigmoid(s / T)) of teacher logits t and student logits s, float (B, L) to a scalar,
    with the softmax in place of the sigmoid in a group: the mean over the decisions of which the teacher's logits
    are known, which are not NaN, and 0 if there are none.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, with one binary
    problem per label that is decided apart; T^2 keeps the size of the gradient as T changes. The divergence is
    their cross-entropy less the teacher's own entropy, which has no gradient: >= 0, and 0 for a student with the
    teacher's logits.
    """
    known = torch.nan_to_num(teacher) / temperature
    soft = torch.sigmoid(known)
    cross_entropy = F.binary_cross_entropy_with_logits(logits / temperature, soft, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(known, soft, reduction="none")
    divergence = with_group_divergences(cross_entropy - entropy, logits / temperature, known, groups)
    return temperature**2 * mean_over_decisions(divergence, teacher, groups)


def feature_loss(projected: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine similarity of a student's projected features and the teacher's, both float (B, W), in [0,
    2].

    After Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", eq. 3; lengths do not count, because the layer
    norm that follows in either network divides them out.
    """
    return (1 - F.cosine_similarity(projected, teacher, dim=1)).mean()


def relation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the label correlation matrices (L, L) of two networks over a batch, from logits
    float (B, L) each.

    After Park et al. 2019, "Relational Knowledge Distillation", with correlations of labels over a batch in place
    of distances of examples. Where the teacher's logits are NaN, unknown, the student's do not count either; labels
    with fewer than 3 known examples in the batch have no correlations and count 0.
    """
    known = ~torch.isnan(teacher)
    known = known & (known.sum(0) >= 3)
    return F.mse_loss(_correlations(logits, known), _correlations(torch.nan_to_num(teacher), known))


def _correlations(logits: Tensor, known: Tensor) -> Tensor:
    mean = (logits * known).sum(0) / known.sum(0).clamp(min=1)
    columns = F.normalize((logits - mean) * known, dim=0, eps=1e-6)
    return columns.T @ columns


def _projection(weight: float, width: int, teacher_width: int) -> nn.Linear | None:
    return None if weight == 0 else nn.Linear(width, teacher_width)
