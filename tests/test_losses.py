"""The losses against computations written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.focal import focal_loss
from distill.recipe import Focal, Recipe, StudentConfig
from student.losses import distillation_loss


def student_config(**changes: float) -> StudentConfig:
    return Recipe.load(overrides=[f"student.{key}={value}" for key, value in changes.items()]).student


def focal_by_hand(z: float, y: int, gamma: float, alpha: float) -> float:
    """One pair, straight from the definition of p_t and alpha_t in the paper."""
    p = 1 / (1 + math.exp(-z))
    p_t = p if y == 1 else 1 - p
    alpha_t = 1.0 if alpha < 0 else (alpha if y == 1 else 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * math.log(p_t)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (5.0, 0.75), (1.5, -1.0)])
def test_focal_loss_is_the_mean_of_the_papers_formula(gamma: float, alpha: float) -> None:
    generator = np.random.default_rng(1)
    z, y = generator.normal(0, 3, (5, 4)), generator.integers(0, 2, (5, 4))
    expected = np.mean([focal_by_hand(a, b, gamma, alpha) for a, b in zip(z.ravel(), y.ravel(), strict=True)])
    found = focal_loss(torch.tensor(z), torch.tensor(y, dtype=torch.float64), Focal(gamma, alpha))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_focal_loss_without_focus_and_weight_is_cross_entropy() -> None:
    z, y = torch.randn(6, 3, dtype=torch.float64), torch.tensor([[1.0, 0, 1]] * 6, dtype=torch.float64)
    assert torch.allclose(focal_loss(z, y, Focal(0.0, -1.0)), F.binary_cross_entropy_with_logits(z, y))


def test_focal_loss_stays_finite_at_extreme_logits() -> None:
    z = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = focal_loss(z, torch.tensor([[0.0, 1.0]]), Focal(2.0, 0.25))
    loss.backward()
    assert torch.isfinite(loss)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_distillation_loss_is_the_weighted_sum_that_its_docstring_says() -> None:
    generator = np.random.default_rng(2)
    s, t = generator.normal(0, 2, (4, 3)), generator.normal(0, 2, (4, 3))
    y = generator.integers(0, 2, (4, 3)).astype(float)
    config = student_config(distill_weight=0.3, temperature=3.0)
    soft_teacher = 1 / (1 + np.exp(-t / 3.0))
    p = 1 / (1 + np.exp(-s / 3.0))
    cross_entropy = -(soft_teacher * np.log(p) + (1 - soft_teacher) * np.log(1 - p)).mean()
    pairs = zip(s.ravel(), y.ravel(), strict=True)
    hard = np.mean([focal_by_hand(a, int(b), config.focal.gamma, config.focal.alpha) for a, b in pairs])
    found = distillation_loss(torch.tensor(s), torch.tensor(y), torch.tensor(t), config)
    assert found.item() == pytest.approx(0.7 * hard + 0.3 * 9.0 * cross_entropy, rel=1e-9)


def test_distillation_pulls_each_label_to_the_teachers_logit() -> None:
    teacher = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    student = teacher.clone().requires_grad_()
    distillation_loss(
        student, torch.zeros(1, 2, dtype=torch.float64), teacher, student_config(distill_weight=1.0)
    ).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12
    higher = (teacher + 1).requires_grad_()
    distillation_loss(
        higher, torch.zeros(1, 2, dtype=torch.float64), teacher, student_config(distill_weight=1.0)
    ).backward()
    assert higher.grad is not None
    assert (higher.grad > 0).all()


def test_gradient_of_the_soft_term_keeps_its_size_as_temperature_grows() -> None:
    sizes = []
    for temperature in (4.0, 16.0):
        s = torch.tensor([[0.5, -0.5]], dtype=torch.float64, requires_grad=True)
        config = student_config(distill_weight=1.0, temperature=temperature)
        distillation_loss(
            s, torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), config
        ).backward()
        assert s.grad is not None
        sizes.append(s.grad.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
