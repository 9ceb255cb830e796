"""A run's folder and a teacher's stored logits: opened without a hub, refused when damaged, never guessed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain

from distill.core.errors import RunError
from distill.core.settings.recipe import TeacherConfig
from distill.core.storage.files import read_json
from distill.data.checks import content_hash
from distill.data.run_folder import weights_sha256
from distill.model.checkpoint import Checkpoint
from distill.model.encoders.weights import fingerprint
from distill.model.soft_targets import SoftTargets
from distill.training.run_writer import RunStart, begin_run
from distill.training.trainer import CheckpointFolder


def test_a_checkpoint_opens_without_its_encoders_and_answers_as_before(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Checkpoint.load(chain.teacher)
    stored = SoftTargets.read(chain.teacher / "soft_targets.npz")
    assert np.abs(opened.logits(chain.splits.train) - stored.outputs.logits).max() < 1e-4
    assert stored.teacher_sha256 == fingerprint(opened.classifier.network)
    metrics = read_json(chain.teacher / "metrics.json", RunError)
    assert metrics["quality"][0]["what"] == "dev, thresholds cross-fitted"
    assert not (chain.teacher / "training").exists()


def test_damaged_and_unfinished_runs_are_refused(chain: Chain, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(chain.student, copy)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"not the weights that run\.json names"):
        Checkpoint.load(copy)
    (copy / "run.json").unlink()
    with pytest.raises(RunError, match="an unfinished run; continue it with --resume"):
        Checkpoint.load(copy)
    with pytest.raises(RunError, match="no run"):
        Checkpoint.load(tmp_path)


def test_a_run_folder_is_claimed_once(chain: Chain, tmp_path: Path) -> None:
    config, splits = chain.recipe.teacher, chain.splits
    start = RunStart("teacher", config, splits)
    with pytest.raises(RunError, match="nothing to resume"):
        begin_run(tmp_path / "a", start, resume=True, overwrite=False)
    assert begin_run(tmp_path / "a", start, resume=False, overwrite=False)
    assert begin_run(tmp_path / "a", start, resume=False, overwrite=False)  # no work is lost
    (tmp_path / "a" / "training").mkdir()
    with pytest.raises(RunError, match="holds an unfinished run; pass --resume"):
        begin_run(tmp_path / "a", start, resume=False, overwrite=False)
    assert begin_run(tmp_path / "a", start, resume=True, overwrite=False)
    with pytest.raises(RunError, match="was started with epochs=2, not 5"):
        begin_run(tmp_path / "a", replace(start, config=replace(config, epochs=5)), resume=True, overwrite=False)
    fewer = replace(start, splits=replace(splits, train=splits.train[1:]))
    with pytest.raises(RunError, match=r"was started with data\.train=64 entries, not 63 entries"):
        begin_run(tmp_path / "a", fewer, resume=True, overwrite=False)
    assert not begin_run(chain.teacher, start, resume=True, overwrite=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="holds files that are not a run"):
        begin_run(tmp_path / "b", start, resume=False, overwrite=True)
    assert (tmp_path / "b" / "thesis.tex").is_file()


def test_what_was_started_otherwise_is_named_with_both_values(chain: Chain, tmp_path: Path) -> None:
    recipe, splits, out = chain.recipe.teacher, chain.splits, tmp_path / "out"
    first = {
        "tries": {"one": {"epochs": 2, "head": {"modalities": "text"}}},
        "folds": 2,
        "retrain": {"test": ["a" * 64]},
    }

    def started(config: TeacherConfig, depends_on: dict[str, Any], resume: bool = True) -> None:
        begin_run(out, RunStart("teacher", config, splits, depends_on), resume, overwrite=False)

    started(recipe, first, resume=False)
    (out / "fold1").mkdir()
    started(recipe, json.loads(json.dumps(first)))
    image = {"tries": {"one": {"epochs": 2, "head": {"modalities": "image"}}}}
    for config, depends_on, message in (
        (recipe, first | {"folds": 3}, "with folds=2, not 3"),
        (recipe, first | image, "with tries.one.head.modalities='text', not 'image'"),
        (recipe, first | {"tries": first["tries"] | {"two": {}}}, "without tries.two, which is asked for now"),
        (recipe, {"folds": 2, "tries": first["tries"]}, "with retrain, which is not asked for now"),
        (recipe, first | {"retrain": {"test": ["b" * 64]}}, "with retrain.test=1 entry, not others"),
        (
            replace(recipe, head=replace(recipe.head, modalities="text")),
            first,
            "with head.modalities='both', not 'text'",
        ),
    ):
        with pytest.raises(RunError, match=f"was started {message}; resume as it was started, or start over"):
            started(config, depends_on)
    (out / "comparison.json").write_text("{}")
    with pytest.raises(
        RunError, match=r"a finished comparison, not a run; its figures are in comparison\.json; pass"
    ):
        started(recipe, first, resume=False)
    with pytest.raises(RunError, match=r"a finished comparison, not a run; its figures are in comparison\.json$"):
        weights_sha256(out)


def test_soft_targets_are_found_by_content_and_never_guessed(chain: Chain, tmp_path: Path) -> None:
    from teacher.soft_targets import load_or_compute

    stored = SoftTargets.read(chain.teacher / "soft_targets.npz")
    content_hashes = [content_hash(example) for example in chain.splits.train]
    assert (stored.select(content_hashes[::-1]).logits == stored.outputs.logits[::-1]).all()
    with pytest.raises(RunError, match="not 1 of those asked for"):
        stored.select([*content_hashes, "unknown"])
    copy = tmp_path / "teacher"
    shutil.copytree(chain.teacher, copy)
    wider = load_or_compute(copy, [*chain.splits.train, *chain.splits.dev])
    assert len(wider.ids) == 96
    assert np.abs(wider.outputs.logits[:64] - stored.outputs.logits).max() < 1e-4
    replace(stored, teacher_sha256="of another").write(copy / "soft_targets.npz")
    with pytest.raises(RunError, match="written by other weights than the run's"):
        load_or_compute(copy, chain.splits.dev)
    (copy / "soft_targets.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(RunError, match="not readable as soft targets"):
        SoftTargets.read(copy / "soft_targets.npz")


def test_a_student_refuses_a_teacher_of_other_labels(chain: Chain, tmp_path: Path) -> None:
    from student.train import DistillationTargets, fit_student

    stored = SoftTargets.read(chain.teacher / "soft_targets.npz")
    with pytest.raises(RunError, match="the teacher knows 6 labels and the data has 6, or in another order"):
        fit_student(
            chain.recipe.student,
            chain.splits,
            DistillationTargets(replace(stored, labels=stored.labels[::-1])),
            CheckpointFolder(tmp_path, resume=False),
        )
