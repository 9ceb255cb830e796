"""The teacher's losses against their formulas, written out in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chain import Chain

from distill.core.settings.model_config import Focal
from distill.core.settings.recipe import Asymmetric
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.training.focal import focal_loss
from teacher.losses import (
    alpha_from_rates,
    class_balanced_weights,
    elementwise_asymmetric_loss,
    teacher_loss,
)

LOGITS = np.array([[-3.0, 0.2, 2.5], [1.0, -0.5, -6.0]])
TARGETS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(LOGITS), torch.tensor(TARGETS)


@pytest.mark.parametrize(("positive", "negative", "clip"), [(1.0, 4.0, 0.05), (0.0, 2.0, 0.0), (2.0, 0.0, 0.2)])
def test_the_asymmetric_loss_is_that_of_its_paper(positive: float, negative: float, clip: float) -> None:
    p = 1 / (1 + np.exp(-LOGITS))
    shifted = np.maximum(p - clip, 0)
    expected = -TARGETS * (1 - p) ** positive * np.log(p)
    expected -= (1 - TARGETS) * shifted**negative * np.log(1 - shifted)
    loss = elementwise_asymmetric_loss(*tensors(), Asymmetric(positive, negative, clip))
    assert np.allclose(loss, expected, atol=1e-9)


def test_without_focus_and_clip_the_asymmetric_loss_is_cross_entropy() -> None:
    logits, targets = tensors()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    assert torch.allclose(
        elementwise_asymmetric_loss(logits, targets, Asymmetric(0.0, 0.0, 0.0)), expected, atol=1e-6
    )


def test_certain_negatives_cost_nothing_and_have_finite_gradients() -> None:
    logits = torch.tensor([[-20.0, 40.0]], requires_grad=True)
    parts = elementwise_asymmetric_loss(logits, torch.zeros(1, 2), Asymmetric(1.0, 4.0, 0.05))
    assert parts[0, 0] == 0
    parts.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_class_balanced_weights_of_a_hand_computed_case() -> None:
    targets = np.zeros((10, 3), dtype=np.float32)
    targets[:8, 0] = 1
    targets[:2, 1] = 1
    raw = np.array([0.001 / (1 - 0.999**8), 0.001 / (1 - 0.999**2), 1.0])
    assert np.allclose(class_balanced_weights(targets), raw / raw.mean(), rtol=1e-4)
    assert np.allclose(alpha_from_rates(targets), [0.2, 0.8, 0.95])


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (-1.0, 1.0)])
def test_unbalanced_it_is_the_focal_loss(chain: Chain, alpha: float, gamma: float) -> None:
    config = replace(chain.recipe.teacher, focal=Focal(gamma, alpha))
    logits, targets = tensors()
    loss = teacher_loss(config, TARGETS.astype(np.float32))(outputs(logits), batch_targets(targets))
    assert torch.allclose(loss, focal_loss(logits, targets, config.focal))


def test_balanced_by_alpha_each_label_has_its_own(chain: Chain) -> None:
    config = replace(chain.recipe.teacher, class_weights="focal_alpha", focal=Focal(0.0, 0.25))
    logits, targets = tensors()
    alpha = alpha_from_rates(TARGETS.astype(np.float32))
    weights = np.where(TARGETS > 0, alpha, 1 - alpha)
    expected = (weights * F.binary_cross_entropy_with_logits(logits, targets, reduction="none").numpy()).mean()
    loss = teacher_loss(config, TARGETS.astype(np.float32))(outputs(logits), batch_targets(targets))
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "class_weights"),
    [
        ("focal", "none"),
        ("focal", "focal_alpha"),
        ("focal", "effective_number"),
        ("asymmetric", "effective_number"),
    ],
)
def test_unknown_targets_are_masked_in_every_loss(chain: Chain, loss: str, class_weights: str) -> None:
    """The loss and its gradient are those of the known pairs alone, one label at a time."""
    config = replace(chain.recipe.teacher, loss=loss, class_weights=class_weights)
    targets = torch.tensor([[0.0, 1.0, torch.nan], [1.0, torch.nan, torch.nan]])
    train = np.array([[0, 1, 1], [1, 0, 0], [1, np.nan, 0], [np.nan, 0, 1]], dtype=np.float32)
    logits = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True)
    value = teacher_loss(config, train)(outputs(logits), batch_targets(targets))
    value.backward()
    filled = [
        teacher_loss(config, train)(outputs(logits), batch_targets(torch.where(targets.isnan(), fill, targets)))
        for fill in (0.0, 1.0)
    ]
    assert torch.isfinite(value)
    assert all(value != other for other in filled)
    assert logits.grad is not None
    assert (logits.grad[targets.isnan()] == 0).all()
    known = LOGITS[:1, :2]
    whole = teacher_loss(config, train[:, :2])(
        outputs(torch.tensor(known)), batch_targets(targets[:1, :2].double())
    )
    masked = teacher_loss(config, train[:, :2])(
        outputs(torch.tensor(np.vstack([known, [[5.0, -5.0]]]))),
        batch_targets(torch.vstack([targets[:1, :2].double(), torch.full((1, 2), torch.nan)])),
    )
    assert float(masked) == pytest.approx(float(whole), rel=1e-6)


def outputs(logits: torch.Tensor) -> Outputs[torch.Tensor]:
    return Outputs(logits, torch.zeros(0), torch.zeros(0))


def batch_targets(targets: torch.Tensor) -> BatchTargets:
    return BatchTargets(targets)
