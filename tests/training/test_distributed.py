"""Several processes of one training: they make what one process makes, once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chain import ROOT, SUPPORT
from click.testing import CliRunner

from distill.cli.main import main
from distill.core.errors import RecipeError, RunError
from distill.core.settings.recipe import recipes_folder
from distill.core.storage.files import read_json
from distill.model import distributed
from distill.model.soft_targets import SoftTargets

# Images are frozen: after one step of NAdam's, which goes by the signs of gradients, rounding is no longer small
# in so small a network with batch norms; two_processes.py compares its gradients.
COMPARED = ((8, 8), (7, 7), (7, 4), (8, 3), (4, 1))  # rows and images of the steps in two_processes.py
PLAIN = {"head.dropout": 0, "head.modality_dropout": 0, "image.trainable": "false", "batch_size": 8, "epochs": 1}


def torchrun(*words: object, count: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a script in so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", count, *words]
    home = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, env=os.environ | home
    )


@pytest.fixture
def settings(overrides: list[str], tmp_path: Path) -> list[str]:
    """The tiny recipe where nothing is drawn while training, as two processes draw otherwise than one: no dropout,
    in no encoder either."""
    overridden = dict(override.split("=", 1) for override in overrides)
    for kind in ("teacher", "student"):
        copied = shutil.copytree(overridden[f"{kind}.text.model"], tmp_path / f"{kind}-text")
        config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
        config |= {name: 0.0 for name in config if "dropout" in name}
        (copied / "config.json").write_text(json.dumps(config), encoding="utf-8")
        overridden |= {f"{kind}.{key}": value for key, value in PLAIN.items()} | {f"{kind}.text.model": str(copied)}
    words = [part for key, value in overridden.items() for part in ("--set", f"{key}={value}")]
    return ["--recipe", str(recipes_folder() / "tiny.toml"), *words]


def commands(data: Path, folder: Path, settings: list[str]) -> list[list[str]]:
    """A teacher with folds of 42 or 43 training examples, so that last batches are uneven; and a student with terms
    of its loss that see the whole batch: label relations, and a mean over the labelled."""
    common = ["--data", str(data), *settings, "--set", "teacher.folds=3"]
    distilled = ["--teacher", str(folder / "teacher"), "--unlabelled", str(data / "test.json")]
    terms = ["--set", "student.distill.text_features=1", "--set", "student.distill.label_relations=1"]
    return [
        ["train-teacher", "--out", str(folder / "teacher"), *common],
        ["train-student", "--out", str(folder / "student"), *common, *distilled, *terms],
    ]


def figures(tree: Any) -> list[float]:
    """All numbers of a metrics.json but the seconds, in order."""
    if isinstance(tree, dict):
        return [number for name, value in tree.items() if name != "seconds" for number in figures(value)]
    if isinstance(tree, list):
        return [number for value in tree for number in figures(value)]
    return [float(tree)] if isinstance(tree, int | float) else []


@pytest.mark.slow
def test_two_processes_train_what_one_trains(data: Path, settings: list[str], tmp_path: Path) -> None:
    single, double = tmp_path / "one", tmp_path / "two"
    for words in commands(data, single, settings):
        assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 0
    (tmp_path / "tasks.json").write_text(json.dumps({"commands": commands(data, double, settings)}))
    result = torchrun(SUPPORT / "two_processes.py", tmp_path / "tasks.json")
    assert result.returncode == 0, result.stderr
    for name in ("soft_targets.npz", *(f"soft_targets-fold{number}.npz" for number in (1, 2, 3))):
        ours, theirs = (SoftTargets.read(folder / "teacher" / name) for folder in (double, single))
        assert ours.content_hashes == theirs.content_hashes
        assert np.abs(ours.outputs.logits - theirs.outputs.logits).max() < 1e-4
    for run in ("teacher", "student"):
        ours, theirs = (figures(read_json(folder / run / "metrics.json", RunError)) for folder in (double, single))
        assert len(theirs) > 100
        assert ours == pytest.approx(theirs, abs=1e-3)
    assert {p.relative_to(double) for p in double.rglob("*")} == {p.relative_to(single) for p in single.rglob("*")}
    assert result.stderr.count("epoch 1/1") == 3 + 1 + 1  # nobody says it twice
    assert result.stdout.count("By label") == 2
    for rows, images in COMPARED:
        assert f"gradients of {rows} rows with {images} images are those of one process" in result.stderr


def test_parts_are_equally_long_and_make_the_batch_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in (1, 2, 3, 5, 8, 9):
        for count in (2, 3, 4):
            monkeypatch.setattr(distributed, "world_size", lambda count=count: count)
            parts = []
            for rank in range(count):
                monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
                parts.append(distributed.shard(range(100, 100 + rows)))
            assert len({len(part) for part in parts}) == 1
            assert list(chain.from_iterable(parts))[:rows] == list(range(100, 100 + rows))


def test_a_process_alone_is_the_first_and_only_one() -> None:
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    tensor = torch.ones(3, requires_grad=True)
    assert distributed.all_gather(tensor) is tensor
    assert distributed.shard([4, 2]) == [4, 2]
    assert distributed.on_first_process(sorted)([2, 1]) == [1, 2]


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_launched", lambda: 3)
    distributed.check_batch_size(12)
    with pytest.raises(RecipeError, match=r"batch_size=16 .* does not divide by 3"):
        distributed.check_batch_size(16)
