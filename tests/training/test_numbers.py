"""Numbers that cannot be right stop a training, and a training that repeats repeats to the byte."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chain import Chain

from distill.core.errors import RunError
from distill.core.settings.recipe import TeacherConfig
from distill.model.classifier import Classifier
from distill.model.dataset import BatchTargets, LengthGroupedSampler
from distill.model.outputs import Outputs
from distill.model.training_log import EpochLog, convergence_warning
from distill.training import trainer
from distill.training.focal import focal_loss
from distill.training.loop import two_tower_trainer
from distill.training.trainer import CheckpointFolder, TrainingData, train_model
from student.train import DistillationTargets, fit_student
from teacher.soft_targets import ensemble_soft_targets
from teacher.train import fit_teacher


def fit(chain: Chain, folder: Path, config: TeacherConfig, poisoned: bool = False, grows: float = 1.0) -> None:
    """Train a teacher, perhaps with a weight that is no number, perhaps with a loss that grows at every step."""
    classifier = Classifier.pretrained("teacher", config, chain.splits.labels, [])
    if poisoned:
        with torch.no_grad():
            classifier.network.output.weight[0, 0] = torch.nan

    steps = itertools.count()

    def loss(outputs: Outputs[torch.Tensor], targets: BatchTargets) -> torch.Tensor:
        return focal_loss(outputs.logits, targets.labels, config.focal) * grows ** next(steps)

    data = TrainingData(classifier.encode(chain.splits.train), classifier.encode(chain.splits.dev))
    train_model(classifier.network, config, data, loss, CheckpointFolder(folder, resume=False))


def test_a_loss_that_is_not_finite_names_the_step_and_the_examples(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(RunError) as raised:
        fit(chain, tmp_path, chain.recipe.teacher, poisoned=True)
    message = str(raised.value)
    assert "the loss became nan at step 1 of 4, in the batch of train-" in message
    assert "Lower learning_rate, now 0.001, and head_learning_rate, now 0.001" in message
    assert "start over with --overwrite" in message
    named_ids = re.findall(r"train-\d+", message)
    config, classifier = (
        chain.recipe.teacher,
        Classifier.pretrained("teacher", chain.recipe.teacher, chain.splits.labels, []),
    )
    order = LengthGroupedSampler(classifier.encode(chain.splits.train).lengths(), config.batch_size, config.seed)
    assert named_ids == [chain.splits.train[row].id for row in list(order)[: config.batch_size]]
    assert list(tmp_path.glob("checkpoint-*")) == []


def test_a_rate_that_is_far_too_high_stops_before_anything_is_kept(chain: Chain, tmp_path: Path) -> None:
    config = replace(chain.recipe.teacher)
    for name in ("learning_rate", "head_learning_rate"):
        object.__setattr__(config, name, 1e30)  # a recipe refuses it
    with pytest.raises(RunError, match=r"the loss became (nan|inf) .*Lower learning_rate, now 1e\+30"):
        fit(chain, tmp_path, config)
    assert list(tmp_path.glob("checkpoint-*")) == []


def test_the_first_epochs_stay_when_a_later_one_is_not_finite(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights go bad in the second epoch's last step: dev notices, before they could become the best."""
    real = two_tower_trainer.TwoTowerTrainer.training_step

    def step(self: two_tower_trainer.TwoTowerTrainer, *arguments: object, **more: object) -> object:
        loss = real(self, *arguments, **more)
        if self.state.global_step == 3:
            with torch.no_grad():
                self.model.network.output.bias.fill_(torch.nan)
                self.model.network.output.bias.grad = None
        return loss

    monkeypatch.setattr(two_tower_trainer.TwoTowerTrainer, "training_step", step)
    with pytest.raises(
        RunError, match="the loss became nan on dev after step 4, in the batch of dev-0000, dev-0001"
    ):
        fit(chain, tmp_path, chain.recipe.teacher)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]


def test_a_teacher_is_the_same_to_the_byte(chain: Chain, tmp_path: Path) -> None:
    run = fit_teacher(chain.recipe.teacher, chain.splits, CheckpointFolder(tmp_path, resume=False))
    for name in ("model.safetensors", "soft_targets.npz", "tokenizer.json"):
        assert (run.folder / name).read_bytes() == (chain.teacher / name).read_bytes()


def test_a_student_is_the_same_to_the_byte_and_another_seed_is_not(chain: Chain, tmp_path: Path) -> None:
    targets = DistillationTargets(ensemble_soft_targets([chain.teacher], chain.splits.train))
    weights = []
    for seed in (chain.recipe.student.seed, 14):
        config = replace(chain.recipe.student, seed=seed)
        checkpoints = CheckpointFolder(tmp_path / str(seed), resume=False)
        run = fit_student(config, chain.splits, targets, checkpoints)
        weights.append((run.folder / "model.safetensors").read_bytes())
    assert weights[0] == (chain.student / "model.safetensors").read_bytes()
    assert weights[1] != weights[0]


def epochs(*losses: float) -> list[EpochLog]:
    return [EpochLog(number, loss, loss, 0.5, 0.5, 0.5, 1e-3) for number, loss in enumerate(losses, 1)]


def test_divergence_and_plateau_are_told_apart_and_named_only_when_true() -> None:
    diverged = convergence_warning(epochs(0.4, 0.3, 0.35, 0.9), best_epoch=2)
    assert diverged is not None
    assert "diverged: its loss rose from 0.3 in epoch 2 to 0.9 in epoch 4; lower the learning rate" in diverged
    plateau = convergence_warning(epochs(0.4, 0.3, 0.299, 0.301, 0.3), best_epoch=2)
    assert plateau is not None
    assert (
        "plateau: no better on dev for 3 epochs after epoch 2, and its loss moved only from 0.3 to 0.3" in plateau
    )
    for losses, best in (
        ((0.4, 0.3, 0.2, 0.1, 0.05), 2),  # dev gets worse while training goes on: stopping early is for that
        ((0.4, 0.3, 0.25, 0.25), 3),  # too short a wait to tell
        ((0.3, 0.32, 0.31), 1),
        ((0.3, 0.0001, 0.0003), 2),  # next to nothing, as Trainer rounds it
        ((0.4,), 1),
        ((), 0),
    ):
        assert convergence_warning(epochs(*losses), best) is None


def test_a_training_says_that_it_diverged(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(trainer, "warn", warnings.append)
    fit(chain, tmp_path / "calm", chain.recipe.teacher)
    assert warnings == []
    fit(chain, tmp_path / "wild", replace(chain.recipe.teacher, epochs=3), grows=1.5)
    assert len(warnings) == 1
    assert "this training diverged" in warnings[0]
    still = replace(chain.recipe.teacher, epochs=6, patience=3, learning_rate=1e-30, head_learning_rate=1e-30)
    fit(chain, tmp_path / "still", replace(still, image=replace(still.image, trainable=False)))
    assert len(warnings) == 2
    assert "this training reached a plateau" in warnings[1]
