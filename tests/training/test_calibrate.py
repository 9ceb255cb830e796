"""Calibration that travels in the network: honest out of fold, the same in every runtime, and undone on request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chain import Chain
from click.testing import CliRunner
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from distill.cli.main import main
from distill.core.errors import RecipeError
from distill.model.checkpoint import Checkpoint
from distill.model.soft_targets import SoftTargets
from distill.runtime.predictor import load
from distill.scoring.calibration import Calibration
from distill.scoring.thresholds import Thresholds
from distill.training.calibrate import fold_in
from teacher.soft_targets import load_folds


def test_a_folded_in_calibration_is_what_the_network_gives(chain: Chain) -> None:
    classifier = Checkpoint.load(chain.student).classifier
    dev = classifier.encode(chain.splits.dev)
    before = classifier.logits(dev)
    slopes, offsets = np.linspace(0.5, 3, 6), np.linspace(-1, 1, 6)
    fold_in(classifier.network, Calibration.of(slopes, offsets))
    np.testing.assert_allclose(classifier.logits(dev), before * slopes + offsets, rtol=1e-4, atol=1e-4)


def test_a_finished_run_is_calibrated_and_remembers_what_it_was_before(chain: Chain) -> None:
    """Focal loss makes shy probabilities; on dev, which it was fitted on, the calibrated ones tell more."""
    for folder in (chain.teacher, chain.student):
        run = Checkpoint.load(folder)
        p = run.probabilities(chain.splits.dev)
        calibration = run.thresholds.calibration
        assert calibration is not None
        assert max(abs(offset) for offset in calibration.offsets) > 0.1
        raw = run.thresholds.raw(p)
        expected = expit((logit(p.astype(np.float64)) - calibration.offsets) / np.array(calibration.slopes))
        np.testing.assert_allclose(raw, expected, atol=1e-6)
        y = np.array([[name in e.labels for name in chain.splits.labels.names] for e in chain.splits.dev])
        assert log_loss(y.ravel(), p.astype(np.float64).ravel()) < log_loss(y.ravel(), raw.ravel())


def test_the_soft_targets_of_folds_are_calibrated_as_their_run_is(folded: Path, chain: Chain) -> None:
    whole = SoftTargets.read(folded / "soft_targets.npz")
    y = np.array([[name in e.labels for name in chain.splits.labels.names] for e in chain.splits.train])
    held_out = np.zeros(y.shape)
    for fold in load_folds(folded):
        held_out[fold.held_out_mask] = expit(fold.outputs.logits[fold.held_out_mask])
    assert np.abs(held_out.mean(0) - y.mean(0)).max() < 0.1
    assert np.abs(expit(whole.outputs.logits).mean(0) - y.mean(0)).max() < 0.25
    assert not (folded / "training").exists()


def test_predict_gives_raw_probabilities_on_request_and_the_same_labels(chain: Chain, tmp_path: Path) -> None:
    shown = {}
    for name, more in (("calibrated", []), ("raw", ["--raw"])):
        out = tmp_path / f"{name}.jsonl"
        command = ["predict", str(chain.int8), str(chain.data), "--split", "dev", "-o", str(out)]
        result = CliRunner().invoke(main, [*command, *more])
        assert result.exit_code == 0, result.output
        shown[name] = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    thresholds = load(chain.int8).bundle.thresholds
    example = chain.splits.dev[0]
    one = load(chain.int8, raw=True).predict(example.text, example.image, example.id)
    assert one.probabilities == pytest.approx(shown["raw"][0]["probabilities"], abs=2e-3)
    for calibrated, raw in zip(shown["calibrated"], shown["raw"], strict=True):
        assert calibrated["labels"] == raw["labels"]
        p = np.array(list(calibrated["probabilities"].values()))
        assert list(raw["probabilities"].values()) == pytest.approx(thresholds.raw(p), abs=2e-3)
        assert calibrated["probabilities"] != raw["probabilities"]


def test_a_calibration_of_other_labels_is_refused(chain: Chain) -> None:
    thresholds = Checkpoint.load(chain.student).thresholds
    damaged = replace(thresholds, calibration=Calibration((1.0,), (0.0,))).to_json()
    with pytest.raises(RecipeError, match="needs a slope and an offset for each label"):
        Thresholds.from_json(damaged)
    assert Thresholds.from_json(thresholds.to_json()) == thresholds
