"""Killed again and again, a student's training ends as an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chain import TINY, Chain
from click.testing import CliRunner

from distill.cli.main import main
from distill.training.trainer import _last_complete_checkpoint

KILLS = 5


def steps_of(out: Path) -> set[Path]:
    """What a training has begun to write: checkpoints, even half ones, and folds' answers."""
    found = set()
    for folder, folders, files in os.walk(out / "training"):  # passes over what vanishes meanwhile
        found |= {Path(folder) / name for name in folders if name.startswith("checkpoint-")}
        found |= {Path(folder) / name for name in files if name.startswith("fold") and name.endswith(".float32")}
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_student_killed_anywhere_ends_with_the_figures_of_an_unbroken_one(
    chain: Chain, folded: Path, tmp_path: Path
) -> None:
    """SIGKILL as soon as anything new appears in the run's folder, so often in the middle of writing it; then
    the same command with --resume. Folds, the training on everything and the control are all met."""
    settings = [part for override in chain.overrides for part in ("--set", override)]
    words = ["train-student", "--data", str(chain.data), "--teacher", str(folded), "--control", *settings]
    words += ["--recipe", str(TINY)]
    words += ["--set", "student.out_of_fold=true", "--set", "student.distill.text_features=0.5"]
    whole = [sys.executable, "-m", "distill.cli", *words, "--out", str(tmp_path / "whole")]
    subprocess.run(whole, check=True, capture_output=True)
    out = tmp_path / "killed"
    begun: set[Path] = set()
    for kill in range(KILLS):
        resume = ["--resume"] if kill else []
        command = [sys.executable, "-m", "distill.cli", *words, "--out", str(out), *resume]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(steps_of(out) - begun) < 2:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / "run.json").exists()
        begun |= steps_of(out)
    last = subprocess.run([*command, "--resume"], check=True, capture_output=True, text=True)
    assert "control" in last.stdout
    ours, unbroken = (json.loads((run / "metrics.json").read_text()) for run in (out, tmp_path / "whole"))
    assert ours["quality"] == unbroken["quality"]
    assert ours["distillation"] == unbroken["distillation"]
    weights = [(run / "model.safetensors").read_bytes() for run in (out, tmp_path / "whole")]
    assert weights[0] == weights[1]


def test_a_finished_run_that_is_resumed_is_opened_and_not_announced_as_new(chain: Chain) -> None:
    command = ["train-teacher", "--data", str(chain.data), *chain.words(), "--out", str(chain.teacher), "--resume"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == f"{chain.teacher}: this run is finished already"


def test_half_a_checkpoint_is_not_taken_and_a_moved_one_is_found(tmp_path: Path) -> None:
    for step in (2, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    state = {"best_model_checkpoint": "elsewhere/checkpoint-2"}
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "checkpoint-12" / "trainer_state.json").write_text('{"best_mod')
    assert _last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-12").exists()
    mended = json.loads((tmp_path / "checkpoint-10" / "trainer_state.json").read_text())
    assert mended["best_model_checkpoint"] == str(tmp_path / "checkpoint-2")
    assert _last_complete_checkpoint(tmp_path / "nothing") is None
