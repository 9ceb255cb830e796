"""The losses against computations written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cosine

from distill.core.errors import RecipeError, RunError
from distill.core.settings.model_config import Focal
from distill.core.settings.recipe import Recipe, StudentConfig
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.training.focal import focal_loss
from student.losses import DistillationLoss, kd_loss, relation_loss


def student_config(*changes: tuple[str, float]) -> StudentConfig:
    overrides = [f"student.distill.{key}={value}" for key, value in changes]
    return Recipe.load(overrides=["student.image.trainable=true", *overrides]).student


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
    loss = focal_loss(torch.tensor(z), torch.tensor(y, dtype=torch.float64), Focal(gamma, alpha))
    assert loss.item() == pytest.approx(expected, rel=1e-9)


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


def outputs(logits: np.ndarray, text: np.ndarray, image: np.ndarray) -> Outputs[torch.Tensor]:
    return Outputs(*(torch.tensor(array, dtype=torch.float64) for array in (logits, text, image)))


def test_distillation_loss_is_the_weighted_sum_that_its_docstring_says() -> None:
    generator = np.random.default_rng(2)
    rows, labels = 5, 3
    s, t = generator.normal(0, 2, (rows, labels)), generator.normal(0, 2, (rows, labels))
    y = generator.integers(0, 2, (rows, labels)).astype(float)
    y_known = np.array([True, True, False, True, True])
    text, image = generator.normal(size=(rows, 4)), generator.normal(size=(rows, 6))
    teacher_text, teacher_image = generator.normal(size=(rows, 7)), generator.normal(size=(rows, 2))
    config = student_config(
        ("temperature", 3.0),
        ("hard_labels", 0.7),
        ("soft_targets", 0.3),
        ("text_features", 2.0),
        ("image_features", 5.0),
        ("label_relations", 4.0),
    )
    loss = DistillationLoss(config, Outputs(labels, 4, 6), Outputs(labels, 7, 2)).double()
    labels_known = np.where(y_known[:, None], y, np.nan)
    targets = BatchTargets(torch.tensor(labels_known), outputs(t, teacher_text, teacher_image))

    q, p = 1 / (1 + np.exp(-t / 3.0)), 1 / (1 + np.exp(-s / 3.0))
    divergence = (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))).mean()
    pairs = zip(s[y_known].ravel(), y[y_known].ravel(), strict=True)
    hard = np.mean([focal_by_hand(a, int(b), config.focal.gamma, config.focal.alpha) for a, b in pairs])
    assert loss.text is not None
    assert loss.image is not None
    apart = [
        np.mean([cosine(a, b) for a, b in zip(ours, theirs, strict=True)])  # scipy's distance, 1 - cos
        for ours, theirs in (
            (loss.text(torch.tensor(text)).detach().numpy(), teacher_text),
            (loss.image(torch.tensor(image)).detach().numpy(), teacher_image),
        )
    ]
    relations = ((np.corrcoef(s.T) - np.corrcoef(t.T)) ** 2).mean()
    expected = 0.7 * hard + 0.3 * 9.0 * divergence + 2.0 * apart[0] + 5.0 * apart[1] + 4.0 * relations
    assert loss(outputs(s, text, image), targets).item() == pytest.approx(expected, rel=1e-6)
    alone = BatchTargets(targets.labels)
    assert loss(outputs(s, text, image), alone).item() == pytest.approx(hard, rel=1e-9)


def test_a_batch_without_labels_and_too_small_to_relate_costs_nothing_of_those_terms() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    total = focal_loss(logits, torch.full((2, 3), torch.nan), Focal(2.0, 0.25))
    total = total + relation_loss(logits, torch.randn(2, 3))
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_the_soft_term_is_least_where_the_student_says_what_the_teacher_says() -> None:
    teacher = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    student = teacher.clone().requires_grad_()
    least = kd_loss(student, teacher, 2.0)
    least.backward()
    assert least.item() == pytest.approx(0, abs=1e-12)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12
    higher = (teacher + 1).requires_grad_()
    kd_loss(higher, teacher, 2.0).backward()
    assert higher.grad is not None
    assert (higher.grad > 0).all()


def test_gradient_of_the_soft_term_keeps_its_size_as_temperature_grows() -> None:
    sizes = []
    for temperature in (4.0, 16.0):
        s = torch.tensor([[0.5, -0.5]], dtype=torch.float64, requires_grad=True)
        kd_loss(s, torch.zeros(1, 2, dtype=torch.float64), temperature).backward()
        assert s.grad is not None
        sizes.append(s.grad.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_relations_do_not_see_the_scale_of_logits_but_their_signs() -> None:
    teacher = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert relation_loss(3 * teacher + 1, teacher).item() == pytest.approx(0, abs=1e-12)
    turned = teacher.clone()
    turned[:, 0] *= -1
    assert relation_loss(turned, teacher).item() > 0.01


def test_settings_that_cannot_teach_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"student\.distill\.image_features=1\.0 matches features of a frozen tower"
    ):
        Recipe.load(overrides=["student.distill.image_features=1"])
    with pytest.raises(RecipeError, match="all weights are 0"):
        student_config(("hard_labels", 0.0), ("soft_targets", 0.0))
    with pytest.raises(RecipeError, match=r"temperature must be 0\.01 to 1,000"):
        student_config(("temperature", 0.0))
    with pytest.raises(RunError, match="an ensemble's features cannot be matched"):
        DistillationLoss(student_config(("text_features", 1.0)), Outputs(3, 4, 6), Outputs(3, 0, 0))
