"""--dry-run says what would be done, and writes nothing; --device and --seed reach the training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chain import TINY, Chain
from test_cli import distill, one_line_error

from distill.core.errors import ArgumentError
from distill.core.machine.device import using_device


def settings(chain: Chain) -> list[str]:
    return ["--recipe", str(TINY), *(part for override in chain.overrides for part in ("--set", override))]


def test_a_training_is_planned_from_real_steps_and_nothing_is_written(chain: Chain, tmp_path: Path) -> None:
    words = ("train-teacher", "--data", chain.data, "--out", tmp_path / "t", *settings(chain), "--dry-run")
    result = distill(*words, "--set", "teacher.folds=3", "--json")
    assert result.exit_code == 0, result.output
    (plan,) = json.loads(result.stdout)
    size = chain.recipe.teacher.batch_size
    assert (plan["train"], plan["dev"], plan["labels"], plan["epochs"], plan["trainings"]) == (64, 32, 6, 2, 3)
    assert plan["steps"] == -(-64 // size) * 2 * 3
    assert 0 < plan["seconds"] < 600
    assert plan["run_bytes"] > (chain.teacher / "model.safetensors").stat().st_size
    assert plan["run_bytes"] < plan["peak_bytes"] < plan["free_bytes"]
    assert list(tmp_path.iterdir()) == []
    assert "nothing was written" in result.stderr


def test_a_probe_which_has_no_steps_is_refused(chain: Chain, tmp_path: Path) -> None:
    probe = ["teacher.head.hidden_size=0", "teacher.head_start=probe", "teacher.epochs=0"]
    words = ["train-teacher", "--data", chain.data, "-o", tmp_path / "t", "--dry-run", *settings(chain)]
    words += [part for setting in probe for part in ("--set", setting)]
    result = distill(*words)
    assert result.exit_code == 2
    assert "a probe (epochs=0) has none" in result.stderr


def test_a_student_with_a_control_trains_two_arms_for_each_seed(chain: Chain, tmp_path: Path) -> None:
    words = ("train-student", "--data", chain.data, "--teacher", chain.teacher, "--out", tmp_path / "s")
    result = distill(*words, *settings(chain), "--seeds", 2, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 epochs x 4 trainings" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_planned_and_nothing_is_written(chain: Chain, tmp_path: Path) -> None:
    words = ("export", chain.student, "--data", chain.data, "-o", tmp_path / "b", *settings(chain), "--dry-run")
    result = distill(*words, "--json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert (plan["dev"], plan["bundles"], plan["candidates"]) == (32, [str(tmp_path / "b")], 0)
    assert plan["bundle_bytes"] > (chain.fp32 / "model.onnx").stat().st_size
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_one_line_before_any_work(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from distill.model.compute import default_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_device().type == "cuda"
    with using_device("cpu"):
        assert default_device().type == "cpu"
        with using_device(None):
            assert default_device().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ("train-teacher", "--data", chain.data, "--out", tmp_path / "t", *settings(chain), "--device", "cuda")
    assert "--device cuda: torch" in one_line_error(distill(*words))
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(ArgumentError, match="device must be one of auto, cpu, cuda, mps; got 'gpu'"),
        using_device("gpu"),
    ):  # type: ignore[arg-type]
        pass


def test_the_seed_is_that_of_the_run(chain: Chain, tmp_path: Path) -> None:
    words = ("train-teacher", "--data", chain.data, "--out", tmp_path / "t", *settings(chain), "--seed", 5)
    result = distill(*words, "--set", "teacher.epochs=1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "t" / "run.json").read_text())["config"]["seed"] == 5
    assert json.loads(result.stdout) == json.loads((tmp_path / "t" / "metrics.json").read_text())
