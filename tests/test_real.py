"""The chain on a slice of real memes with real pretrained weights. Run by name: make real.

DISTILL_REAL_DATA is a folder in the SemEval-2021 Task 6 form. DISTILL_REAL_WEIGHTS holds the directories gte-small,
resnet50 and distilbert, and torch/hub/checkpoints with MobileNetV2.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.core.settings.recipe import Recipe, recipes_folder
from distill.data.checks import check_splits
from distill.data.dataset import read_splits

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture
def memes() -> Path:
    if "DISTILL_REAL_DATA" not in os.environ or "DISTILL_REAL_WEIGHTS" not in os.environ:
        pytest.skip("set DISTILL_REAL_DATA and DISTILL_REAL_WEIGHTS")
    return Path(os.environ["DISTILL_REAL_DATA"])


def test_the_chain_runs_on_real_memes_and_beats_nothing_by_luck(
    memes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.core.machine.cpu import detect_target
    from distill.runtime.predictor import Predictor
    from distill.scoring.metrics import micro_ap
    from distill.training.run_writer import RunStart, begin_run
    from distill.training.trainer import CheckpointFolder
    from export.pipeline import ExportRequest, export_run
    from student.train import DistillationTargets, fit_student
    from teacher.soft_targets import ensemble_soft_targets
    from teacher.train import fit_teacher

    weights = Path(os.environ["DISTILL_REAL_WEIGHTS"])
    monkeypatch.setenv("TORCH_HOME", str(weights / "torch"))
    settings = [
        f"teacher.text.model={weights / 'gte-small'}",
        f"teacher.image.model={weights / 'resnet50'}",
        f"student.text.model={weights / 'distilbert'}",
        "teacher.folds=0",
        "teacher.epochs=3",
        "student.epochs=2",
        "student.out_of_fold=false",
        "export.calibration_examples=16",
    ]
    recipe = Recipe.load(recipes_folder() / "meme-gte.toml", settings)
    splits = read_splits(memes)
    warnings = "\n".join(check_splits(splits).warnings)
    assert "no positive example" in warnings  # two labels never occur in dev
    splits = replace(splits, train=splits.train[:160])
    begin_run(tmp_path / "teacher", RunStart("teacher", recipe.teacher, splits), resume=False, overwrite=False)
    fit_teacher(recipe.teacher, splits, CheckpointFolder(tmp_path / "teacher", resume=False))
    targets = DistillationTargets(ensemble_soft_targets([tmp_path / "teacher"], splits.train))
    learned = fit_student(recipe.student, splits, targets, CheckpointFolder(tmp_path / "student", resume=False))
    _, bundle = export_run(
        learned, splits, recipe.export, ExportRequest("int8", detect_target(), tmp_path / "bundle")
    )
    assert bundle.figures["size_bytes"] < 90e6
    p = Predictor(bundle).probabilities(splits.dev)
    truth = splits.labels.encode([example.labels for example in splits.dev])
    rates = splits.labels.encode([example.labels for example in splits.train]).mean(0)
    constant = np.broadcast_to(rates, truth.shape).astype(np.float32)
    assert micro_ap(truth, p) > micro_ap(truth, constant) - 0.02
