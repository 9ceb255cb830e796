"""Commands that are killed on the way, again and again, end with what an unbroken run leaves, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chain import Chain
from victim import Victim, leftovers

from distill.data.run_folder import is_run
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle

# The operation before which each of a row of runs is killed, all but the first with --resume.
TRAINING_KILLS = (
    "mkdir training",
    "mkdir checkpoint-2",
    "open trainer_state.json",  # its checkpoint lacks only this
    "mkdir checkpoint-4",
    "open .trainer_state.json",  # of the checkpoint that is resumed
    "open trainer_state.json",
    "open model.safetensors.part",
    "rename model.safetensors.part",
    "rename .tokenizer.json",
    "open .config.json",
    "rename .metrics.json",
    "open .run.json",
    "rename .run.json",
    "rmdir checkpoint-",  # finished; its own checkpoints are being removed
)
TEACHER_KILLS = (*TRAINING_KILLS[:6], "open .soft_targets.npz", "rename .soft_targets.npz", *TRAINING_KILLS[6:])
EXPORT_KILLS = (
    "mkdir .bundle.",  # the folder for its work
    "open fp32.onnx",
    "open fused.onnx",
    "open candidate0.onnx",
    "mkdir .bundle-fp32.",
    "rename .manifest.json",
    "rmdir .bundle-fp32.",  # the names are swapped, the old one is being removed
    "rmdir .bundle.",
)
TORN_CHECKPOINTS = (2_000, 8_000, 20_000, 500_000)  # bytes: in its small files, the RNG's state, the weights


def killed_and_resumed(victim: Victim, words: list[str], out: Path, kills: tuple[str, ...]) -> None:
    """Run a training until it is killed before each of these operations in turn, then to its end."""
    for kill in kills:
        resume = ["--resume"] if (out / "started.json").exists() else []
        end = victim.distill(*words, "--out", str(out), *resume, root=out.parent, kill_at=kill)
        assert end.killed, f"{kill}: {end.output}"
        assert not is_run(out) or Checkpoint.load(out)
    end = victim.distill(*words, "--out", str(out), "--resume", root=out.parent)
    assert end.code == 0, end.output
    assert leftovers(out.parent) == []
    assert not (out / "training").exists()


def metrics_of(run: Path) -> dict[str, object]:
    """All but the seconds that it took, and after which epoch."""
    tree = json.loads((run / "metrics.json").read_text())
    del tree["training"]["seconds"], tree["training"]["resumed_after"]
    return dict(tree)


@pytest.mark.slow
def test_a_teacher_ends_as_an_unbroken_one(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    out = tmp_path / "teacher"
    words = ["train-teacher", "--data", str(chain.data), *chain.words()]
    killed_and_resumed(victim, words, out, TEACHER_KILLS)
    assert metrics_of(out) == metrics_of(chain.teacher)
    for name in ("model.safetensors", "soft_targets.npz"):
        assert (out / name).read_bytes() == (chain.teacher / name).read_bytes(), name


@pytest.mark.slow
def test_a_student_ends_as_an_unbroken_one(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    out = tmp_path / "student"
    words = ["train-student", "--data", str(chain.data), "--teacher", str(chain.teacher), *chain.words()]
    killed_and_resumed(victim, words, out, TRAINING_KILLS)
    assert metrics_of(out) == metrics_of(chain.student)
    assert (out / "model.safetensors").read_bytes() == (chain.student / "model.safetensors").read_bytes()


def test_a_checkpoint_that_is_torn_is_not_taken(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    out = tmp_path / "student"
    words = ["train-student", "--data", str(chain.data), "--teacher", str(chain.teacher), *chain.words()]
    for cut in TORN_CHECKPOINTS:
        resume = ["--resume"] if (out / "started.json").exists() else []
        end = victim.distill(*words, "--out", str(out), *resume, root=tmp_path, file_bytes=cut, deadly=True)
        assert end.killed, end.output
        assert not is_run(out)
    assert victim.distill(*words, "--out", str(out), "--resume", root=tmp_path).code == 0
    assert (out / "model.safetensors").read_bytes() == (chain.student / "model.safetensors").read_bytes()


# torch's exporter takes seconds and writes one file; it is not what is tried here.
EXPORT = """
import shutil
import export.pipeline
from distill.cli.main import main
export.pipeline.to_onnx = lambda classifier, path: shutil.copyfile({fp32!r}, path)
main({words!r})
"""


@pytest.mark.slow
def test_an_export_is_whole_wherever_the_one_before_was_killed(
    chain: Chain, victim: Victim, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    words = ["export", str(chain.student), "--data", str(chain.data), "--int8", "--out", str(out), "--overwrite"]
    quick = chain.words("export.matmuls=dynamic", "export.convolutions=float")
    export = EXPORT.format(fp32=str(chain.fp32 / "model.onnx"), words=[*words, *quick])
    whole = victim.run(export, tmp_path)
    assert whole.code == 0, whole.output
    for kill in EXPORT_KILLS:
        end = victim.run(export, tmp_path, kill_at=kill)
        assert end.killed, f"{kill}: {end.output}"
        assert [Bundle.open(place).precision for place in (out, tmp_path / "bundle-fp32")] == ["int8", "fp32"]
    assert victim.run(export, tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle-fp32"]
    kept = ("model.onnx", "thresholds.json", "labels.txt", "tokenizer.json", "preprocess.json", "golden.json")
    for name in kept:
        assert (tmp_path / "bundle-fp32" / name).read_bytes() == (chain.fp32 / name).read_bytes(), name
