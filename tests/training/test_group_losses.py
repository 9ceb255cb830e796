"""Training with labels that exclude each other: the losses against computations written another way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import log_loss

from distill.core.errors import RecipeError, RunError
from distill.core.settings.model_config import Focal
from distill.core.settings.recipe import Recipe
from distill.data.groups import LabelGroup
from distill.data.labels import LabelSet
from distill.model.checkpoint import Checkpoint
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from distill.model.soft_targets import SoftTargets, average_teachers
from distill.scoring.calibration import fit_group_temperature, label_rates
from distill.training.calibrate import calibrate
from distill.training.focal import focal_loss
from student.losses import DistillationLoss, kd_loss
from student.train import check_labels
from teacher.losses import alpha_from_rates, class_balanced_weights, teacher_loss

GROUPS = {"degree": (0, 3, 1)}  # of five labels; 2 and 4 are decided apart
ALL = {"label": (0, 1, 2)}


def case(rows: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(3)
    y = np.zeros((rows, 5))
    y[np.arange(rows), generator.choice([0, 3, 1], rows)] = 1
    y[:, [2, 4]] = generator.integers(0, 2, (rows, 2))
    return torch.tensor(generator.normal(0, 2, y.shape), requires_grad=True), torch.tensor(y)


def test_without_focus_the_loss_of_one_label_is_scikit_learns_log_loss() -> None:
    z, y = (tensor.detach()[:, [0, 1, 3]] for tensor in case())
    loss = focal_loss(z, y, Focal(0.0, 0.25), ALL)
    assert loss.item() == pytest.approx(log_loss(y, softmax(z, axis=1)))


def test_with_focus_each_row_weighs_by_how_wrong_it_is() -> None:
    z, y = (tensor.detach()[:, [0, 1, 3]] for tensor in case())
    p = softmax(z, axis=1)[y.numpy() == 1]
    assert focal_loss(z, y, Focal(2.0, 0.25), ALL).item() == pytest.approx(np.mean(-((1 - p) ** 2) * np.log(p)))


def test_labels_beside_a_group_lose_what_they_lost_and_a_group_counts_as_one_decision() -> None:
    z, y = case()
    grouped = -log_softmax(z.detach()[:, (0, 3, 1)], axis=1)[y[:, (0, 3, 1)].numpy() == 1].sum()
    apart = focal_loss(z[:, (2, 4)], y[:, (2, 4)], Focal(0.0, -1)).item() * 2 * len(y)
    assert focal_loss(z, y, Focal(0.0, -1), GROUPS).item() == pytest.approx((grouped + apart) / (3 * len(y)))


def test_an_unknown_group_counts_in_no_loss_and_has_no_gradient() -> None:
    z, y = case()
    y[0, [0, 1, 3]] = torch.nan
    loss = focal_loss(z, y, Focal(2.0, 0.25), GROUPS)
    loss.backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert (z.grad[0, [0, 1, 3]] == 0).all()
    assert (z.grad[0, [2, 4]] != 0).all()
    assert (z.grad[1] != 0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_groups_loss_and_gradient_stay_finite_at_extreme_logits(gamma: float) -> None:
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    loss = focal_loss(z, torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]), Focal(gamma, 0.25), ALL)
    loss.backward()
    assert torch.isfinite(loss)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_targets_of_a_group_are_the_divergence_of_softened_softmaxes(temperature: float) -> None:
    s, _ = case()
    t = 2 * torch.randn(s.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t[0, [0, 1, 3]] = torch.nan
    loss = kd_loss(s, t, temperature, GROUPS)
    q, p = (softmax(x.detach().numpy()[1:, (0, 3, 1)] / temperature, axis=1) for x in (t, s))
    group = (q * np.log(q / p)).sum()
    a, b = (expit(x.detach().numpy()[:, (2, 4)] / temperature) for x in (t, s))
    apart = (a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))).sum()
    decisions = len(s) - 1 + 2 * len(s)
    assert loss.item() == pytest.approx(temperature**2 * (group + apart) / decisions)
    assert kd_loss(s, s.detach() + 0, temperature, GROUPS).item() == pytest.approx(0, abs=1e-12)


def test_no_term_of_distillation_sees_what_is_added_to_all_logits_of_a_group() -> None:
    z, y = case()
    config = Recipe.load(overrides=["student.distill.label_relations=1"]).student
    loss = DistillationLoss(config, Outputs(5, 1, 1), Outputs(5, 1, 1), GROUPS)
    teacher = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    shift = torch.zeros_like(z)
    shift[:, [0, 1, 3]] = torch.arange(len(z), dtype=z.dtype)[:, None]
    feature = torch.zeros((len(z), 1))

    def value(logits: torch.Tensor, soft: torch.Tensor) -> float:
        return loss(Outputs(logits, feature, feature), BatchTargets(y, Outputs(soft, feature, feature))).item()

    expected = value(z, teacher)
    assert value(z + shift, teacher) == pytest.approx(expected)
    assert value(z, teacher - shift) == pytest.approx(expected)
    assert value(z * 1.1, teacher) != pytest.approx(expected)


@pytest.mark.parametrize("weights", ["focal_alpha", "effective_number"])
def test_class_weights_weigh_the_true_label_of_a_group(weights: str) -> None:
    z, y = case()
    config = Recipe.load(overrides=[f"teacher.class_weights={weights}", "teacher.focal.gamma=0"]).teacher
    targets = y.numpy().astype(np.float32)[:, [0, 1, 3]]
    loss = teacher_loss(config, targets, ALL)(Outputs(z[:, [0, 1, 3]], z, z), BatchTargets(torch.tensor(targets)))
    weight = alpha_from_rates(targets) if weights == "focal_alpha" else class_balanced_weights(targets)
    each = -(log_softmax(z.detach()[:, [0, 1, 3]], axis=1) * targets * weight).sum(axis=1)
    assert loss.item() == pytest.approx(each.mean(), rel=1e-5)


def test_a_loss_that_knows_no_groups_is_refused_before_encoders_are_loaded(chain: Chain) -> None:
    from teacher.train import prepare_teacher

    config = replace(chain.recipe.teacher, loss="asymmetric")
    labels = LabelSet(chain.splits.labels.names, (LabelGroup("mood", chain.splits.labels.names[:2]),))
    with pytest.raises(RecipeError, match=r"teacher\.loss=asymmetric .* the group 'mood'; set teacher\.loss=focal"):
        prepare_teacher(config, replace(chain.splits, labels=labels))


def test_training_starts_from_the_frequencies_of_a_groups_labels(chain: Chain) -> None:
    network = Checkpoint.load(chain.student).classifier.network
    rates = torch.tensor([0.5, 0.3, 0.9, 0.2, 0.25, 0.1])
    network.initialise_bias(rates, GROUPS)
    bias = network.output.bias.detach()
    assert torch.softmax(bias[[0, 3, 1]], 0).numpy() == pytest.approx([0.5, 0.2, 0.3])
    assert torch.sigmoid(bias[[2, 4, 5]]).numpy() == pytest.approx([0.9, 0.25, 0.1])


def test_a_group_is_calibrated_in_the_network_with_one_temperature_and_its_other_labels_apart(chain: Chain) -> None:
    own = Checkpoint.load(chain.student).classifier
    classifier = replace(own, labels=own.labels.with_group_columns(GROUPS))
    dev = replace(own.encode(chain.splits.dev), groups=GROUPS)
    targets = np.zeros_like(dev.targets)
    targets[np.arange(len(dev)), np.array([0, 1, 3])[np.arange(len(dev)) % 3]] = 1
    before = classifier.logits(dev)
    calibrate(classifier, replace(dev, targets=targets), targets)
    after, temperature = classifier.logits(dev), fit_group_temperature(before[:, (0, 3, 1)], targets[:, (0, 3, 1)])
    assert temperature != pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(after[:, [0, 1, 3]] * temperature, before[:, [0, 1, 3]], rtol=1e-3, atol=1e-4)
    means = (1 / (1 + np.exp(-after[:, [2, 4, 5]].astype(np.float64)))).mean(0)
    assert means == pytest.approx(label_rates(targets)[[2, 4, 5]], abs=0.02)


def soft(groups: tuple[LabelGroup, ...]) -> SoftTargets:
    empty = np.zeros((1, 0), dtype=np.float32)
    outputs = Outputs(np.zeros((1, 3), dtype=np.float32), empty, empty)
    return SoftTargets(("1",), ("hash",), ("a", "b", "c"), outputs, np.zeros(1, dtype=bool), "sha", groups)


def test_soft_targets_remember_their_groups_and_fit_no_others(tmp_path: Path) -> None:
    group = LabelGroup("g", ("c", "a"))
    path = tmp_path / "soft.npz"
    soft((group,)).write(path)
    assert SoftTargets.read(path).groups == (group,)
    soft(()).write(path)
    assert SoftTargets.read(path).groups == ()
    check_labels(soft((group,)), LabelSet(("a", "b", "c"), (group,)))
    with pytest.raises(
        RunError, match=r"the teacher's groups of labels are 'g' \('c', 'a'\), and the student's none"
    ):
        check_labels(soft((group,)), LabelSet(("a", "b", "c")))
    with pytest.raises(RunError, match="the teachers have different groups of labels"):
        average_teachers([soft((group,)), soft(())], ["hash"])
