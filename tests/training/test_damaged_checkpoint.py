"""A checkpoint with a damaged file: it is named, with what going on without it costs, and the training can."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chain import Chain

from distill.core.errors import RunError
from distill.model.classifier import Classifier
from distill.model.training_log import TrainLog
from distill.training.focal import focal_loss
from distill.training.trainer import CheckpointFolder, TrainingData, train_model


@pytest.fixture(scope="module")
def stopped(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training of three epochs that was killed in its last."""
    folder = tmp_path_factory.mktemp("stopped")
    train(chain, folder, resume=False)
    shutil.rmtree(last_of(folder))
    return folder


def train(chain: Chain, folder: Path, resume: bool) -> TrainLog:
    config = replace(chain.recipe.teacher, epochs=3, constant_epochs=1, decay_per_epoch=0.5)
    config = replace(config, image=replace(config.image, trainable=False))
    classifier = Classifier.pretrained("teacher", config, chain.splits.labels, [])
    data = TrainingData(classifier.encode(chain.splits.train), classifier.encode(chain.splits.dev))
    checkpoints = CheckpointFolder(folder, resume)
    loss = lambda outputs, targets: focal_loss(outputs.logits, targets.labels, config.focal)  # noqa: E731
    return train_model(classifier.network, config, data, loss, checkpoints)


def last_of(folder: Path) -> Path:
    return max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def test_a_damaged_file_is_named_and_offers_to_go_on(chain: Chain, stopped: Path, tmp_path: Path) -> None:
    for name, cost in (
        ("optimizer.pt", "the optimizer then starts anew"),
        ("scheduler.pt", "the rate then follows from the number of steps"),
        ("rng_state.pth", "dropout then draws other numbers"),
    ):
        for kind, damage in (
            ("cut", lambda content: content[: len(content) // 2]),
            ("empty", lambda content: b""),
            ("flipped", lambda content: content.replace(content[-3000:-2900], b"x" * 100)),
        ):
            folder = shutil.copytree(stopped, tmp_path / f"{name}-{kind}")
            path = last_of(folder) / name
            path.write_bytes(damage(path.read_bytes()))
            with pytest.raises(RunError) as caught:
                train(chain, folder, resume=True)
            assert f"{path}: damaged; remove this file to go on without it ({cost}" in str(caught.value)
            assert f"remove the folder {path.parent.name} to go on" in str(caught.value)


def test_a_file_of_another_training_is_named(chain: Chain, stopped: Path, tmp_path: Path) -> None:
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        folder = shutil.copytree(stopped, tmp_path / name)
        torch.save({"state": {}, "param_groups": []}, last_of(folder) / name)
        if name == "scheduler.pt":
            torch.save([1], last_of(folder) / name)
        with pytest.raises(RunError, match=rf"checkpoint-\d+: .*{name}.* cannot be loaded"):
            train(chain, folder, resume=True)


@pytest.mark.parametrize(
    "names", [["optimizer.pt"], ["scheduler.pt"], ["optimizer.pt", "scheduler.pt", "rng_state.pth"]]
)
def test_a_training_goes_on_without_them_at_the_right_rate(
    chain: Chain, stopped: Path, tmp_path: Path, names: list[str]
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "without")
    for name in names:
        (last_of(folder) / name).unlink()
    log = train(chain, folder, resume=True)
    assert [epoch.epoch for epoch in log.epochs] == [1, 2, 3]
    assert log.epochs[2].learning_rate == pytest.approx(log.epochs[0].learning_rate * math.exp(-0.5 * 2), rel=0.3)
    whole = train(chain, tmp_path / "whole", resume=False)
    assert log.epochs[2].learning_rate == whole.epochs[2].learning_rate


def test_damaged_weights_and_states_are_named(chain: Chain, stopped: Path, tmp_path: Path) -> None:
    for name, content in (("model.safetensors", b"\x00" * 20), ("trainer_state.json", b"[]")):
        folder = shutil.copytree(stopped, tmp_path / name)
        (last_of(folder) / name).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name}: damaged.*; remove the folder checkpoint-\d+ to go on"):
            train(chain, folder, resume=True)
