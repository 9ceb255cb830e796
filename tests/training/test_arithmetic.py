"""The arithmetic of training, and what is not computed twice: encoders of three answers, and of a probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from torch import Tensor

from distill.core.settings.model_config import ModelConfig
from distill.model import compute
from distill.model.classifier import Classifier
from distill.model.dataset import BatchTargets, Modality
from distill.model.outputs import Outputs
from distill.training import probe
from distill.training.focal import focal_loss
from distill.training.folds import probabilities_by_modality
from distill.training.loop import arithmetic
from distill.training.trainer import CheckpointFolder, Loss, TrainingData, train_model


def classifier_of(chain: Chain) -> Classifier:
    return Classifier.pretrained("teacher", chain.recipe.teacher, chain.splits.labels, [])


def focal(config: ModelConfig) -> Loss:
    return lambda outputs, targets: focal_loss(outputs.logits, targets.labels, config.focal)


def test_bf16_on_a_processor_without_it_is_said_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(compute, "warn", warnings.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(compute, "cpu_flags", lambda: {"avx2", "avx512f"})
    assert compute.training_arithmetic("auto") == "fp32"
    assert warnings == []
    assert compute.training_arithmetic("bf16") == "bf16"
    assert "no bf16 arithmetic" in warnings[0]


@pytest.mark.parametrize("agrees", [True, False])
def test_auto_is_bf16_where_the_processor_has_it_and_a_batchs_loss_is_the_same(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(arithmetic, "warn", warnings.append)
    monkeypatch.setattr(compute, "cpu_flags", lambda: {"avx512_bf16"})
    config = replace(chain.recipe.teacher, precision="auto", epochs=1)
    loss = focal(config)

    def rounded(outputs: Outputs[Tensor], targets: BatchTargets) -> Tensor:
        is_rounded = torch.is_autocast_enabled("cpu") and not agrees
        return loss(outputs, targets) * (1.1 if is_rounded else 1)

    classifier = classifier_of(chain)
    data = TrainingData(classifier.encode(chain.splits.train), classifier.encode(chain.splits.dev))
    log = train_model(classifier.network, config, data, rounded, CheckpointFolder(tmp_path, resume=False))
    expected = "bf16" if agrees else "fp32"
    assert (log.arithmetic, classifier.network.trained_in) == (expected, expected)
    assert [line[:24] for line in warnings] == ([] if agrees else ["training is in fp32: in "])
    exact, as_trained = (classifier.outputs(data.dev, as_trained=a).text for a in (False, True))
    assert (exact == as_trained).all() == (not agrees)
    assert np.abs(exact - as_trained).max() < 0.05


def test_a_model_answers_for_each_modality_alone_as_when_asked_for_it_alone(chain: Chain) -> None:
    classifier = classifier_of(chain)
    encoded = classifier.encode(chain.splits.dev)
    by_modality = probabilities_by_modality(classifier, encoded)
    np.testing.assert_allclose(by_modality.both, classifier.probabilities(encoded), atol=1e-6)
    without: tuple[Modality, ...] = ("image", "text")
    for alone, missing in zip((by_modality.text, by_modality.image), without, strict=True):
        np.testing.assert_allclose(alone, classifier.probabilities(encoded.without(missing)), atol=1e-6)
    assert np.abs(by_modality.text - by_modality.image).max() > 1e-3


def test_the_texts_of_a_probe_run_through_its_encoder_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = classifier_of(chain)
    encoded = classifier.encode(chain.splits.dev)
    exact = probe.joint_features(classifier.network, encoded)
    monkeypatch.setattr(type(classifier.network.text), "hidden_states", None)
    np.testing.assert_array_equal(exact, probe.joint_features(classifier.network, encoded))
    config = classifier.network.text.backbone.config
    monkeypatch.setattr(config, "hidden_act", "relu")
    with pytest.raises(TypeError):  # another encoder of the same weights
        probe.joint_features(classifier.network, encoded)
    monkeypatch.undo()
    monkeypatch.setattr(type(classifier.network.text), "hidden_states", None)
    with torch.no_grad():
        next(classifier.network.text.parameters()).add_(1)
    with pytest.raises(TypeError):  # other weights, other features
        probe.joint_features(classifier.network, encoded)
