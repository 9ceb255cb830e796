"""A full disk is one line that names the file and what to do, and costs nothing that stood there before.

The disk is full when a file grows beyond so many bytes (RLIMIT_FSIZE), which needs no rights, at several sizes so
that each kind of file is met: JSON, weights, optimizer states, ONNX. Where a small file system can be mounted,
that is filled too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chain import Chain
from victim import End, Victim

from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle

# Bytes that a file may have. What is written last that is larger, is what fails.
TRAINING_FULL = (0, 5_000, 40_000, 1_000_000, 2_500_000)
EXPORT_FULL = (0, 20_000, 100_000, 300_000, 600_000)
ANSWERS_FULL = (0, 100, 20_000, 60_000)


def one_line(end: End, *words: str) -> str:
    """The error's line, which is the last of the output, with the words that it must hold."""
    assert end.code == 2, end.output
    assert "Traceback" not in end.output
    lines = [line for line in end.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, end.output
    assert end.output.splitlines()[-1] == lines[0]
    for word in words:
        assert word in lines[0]
    return lines[0]


def nothing_half(folder: Path) -> None:
    """No part, no hidden leftover, and every JSON file reads."""
    names = [path.name for path in folder.rglob("*")]
    assert [name for name in names if name.startswith(".") or name.endswith((".part", ".work", ".old"))] == []
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())


def test_a_student_goes_on_when_there_is_room_again(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    out = tmp_path / "student"
    words = ["train-student", "--data", str(chain.data), "--teacher", str(chain.teacher), "--out", str(out)]
    words += chain.words()
    said = []
    for file_bytes in TRAINING_FULL:
        resume = ["--resume"] if (out / "started.json").exists() else []
        end = victim.distill(*words, *resume, root=tmp_path, file_bytes=file_bytes)
        said.append(one_line(end, str(out), "cannot be written", "MB are free there: make room, then"))
        nothing_half(tmp_path)
        assert not (out / "run.json").exists()
    assert all("started.json" in line and "run the same command again" in line for line in said[:2])
    assert all("checkpoint-2" in line and "go on with --resume" in line for line in said[2:])
    assert "torch could not write a file" in said[-1]  # the optimizer's state, twice as large as the weights
    assert victim.distill(*words, "--resume", root=tmp_path).code == 0
    assert (out / "model.safetensors").read_bytes() == (chain.student / "model.safetensors").read_bytes()


def test_an_export_that_finds_no_room_leaves_the_bundles_that_stand(
    chain: Chain, victim: Victim, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(chain.int8, out)
    shutil.copytree(chain.fp32, tmp_path / "bundle-fp32")
    stood = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = ["export", str(chain.student), "--data", str(chain.data), "--int8", "--out", str(out), "--overwrite"]
    words += chain.words()
    source = f"""
import shutil
import export.pipeline
from distill.cli.main import main
def to_onnx(classifier, path):  # torch's exporter takes seconds
    with open({str(chain.fp32 / "model.onnx")!r}, "rb") as model:
        path.write_bytes(model.read())
export.pipeline.to_onnx = to_onnx
main({words!r})
"""
    for file_bytes in EXPORT_FULL:
        one_line(victim.run(source, tmp_path, file_bytes=file_bytes), str(out), "too large", "make room, then")
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == stood
    assert Bundle.open(out).precision == "int8"


@pytest.mark.slow
def test_torchs_own_exporter_says_it_too(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    words = ["export", str(chain.student), "--data", str(chain.data), "--out", str(tmp_path / "bundle")]
    end = victim.distill(*words, *chain.words(), root=tmp_path, file_bytes=50_000)
    one_line(end, str(tmp_path / "bundle"), "too large", "make room, then")
    assert list(tmp_path.iterdir()) == []


def test_answers_go_on_when_there_is_room_again(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    source, out = tmp_path / "posts.jsonl", tmp_path / "predictions.jsonl"
    rows = [{"id": str(number), "text": example.text} for number, example in enumerate(chain.splits.train * 9)]
    source.write_text("\n".join(map(json.dumps, rows)) + "\n")
    words = ["predict", str(chain.int8), str(source), "--out", str(out)]
    out.write_text("of yesterday\n")
    for file_bytes in ANSWERS_FULL:
        end = victim.distill(*words, "--overwrite", root=tmp_path, file_bytes=file_bytes)
        one_line(end, str(out), "too large", "make room, then")
        assert out.read_text() == "of yesterday\n"
    assert "go on with --resume" in end.output
    assert victim.distill(*words, "--resume", root=tmp_path).code == 0
    assert len(out.read_bytes().splitlines()) == len(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posts.jsonl", "predictions.jsonl"]


def test_figures_of_yesterday_stay(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    """What `bench`, `evaluate` and `verify` write goes through the same function."""
    out = tmp_path / "figures.json"
    out.write_text("{}")
    end = victim.distill("verify", chain.int8, "--out", out, "--overwrite", root=tmp_path, file_bytes=20)
    one_line(end, str(out), "too large", "it takes 0.", "make room, then run the same command again")
    assert out.read_text() == "{}"
    nothing_half(tmp_path)


def test_half_a_feature_is_never_used(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    """A frozen image tower's cache, filled up on the way: it says so once, and ends where its run finds no room
    either. Then the same training with room."""
    words = ["train-teacher", "--data", str(chain.data), *chain.words(), "--set", "teacher.epochs=1"]
    words += ["--set", "teacher.image.trainable=false"]
    cache = tmp_path / "cache"
    begun = f"import os\nos.environ['DISTILL_CACHE'] = {str(cache)!r}\nfrom distill.cli.main import main\n"
    weights = []
    for name, limits in (("full", (0, 511)), ("room", ())):  # a feature has 512 bytes
        run = [*words, "--out", str(tmp_path / name)]
        victim.run(f"{begun}main({run!r})", tmp_path, kill_at="mkdir features")
        for file_bytes in limits:
            end = victim.run(f"{begun}main({[*run, '--resume']!r})", tmp_path, file_bytes=file_bytes)
            one_line(end, str(tmp_path / name), "too large")
            assert end.output.count("the cache cannot be written (File too large); going on without it") == 1
            assert [path for path in cache.rglob("*") if path.is_file()] == []
        assert victim.run(f"{begun}main({[*run, '--resume']!r})", tmp_path).code == 0
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        shutil.rmtree(cache)
    assert weights[0] == weights[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_file_system_fills_up_and_is_survived(chain: Chain, victim: Victim, small_disk: Path) -> None:
    out, rest = small_disk / "student", small_disk / "rest"
    words = ["train-student", "--data", str(chain.data), "--teacher", str(chain.teacher), "--out", str(out)]
    words += chain.words()
    free = shutil.disk_usage(small_disk).free
    rest.write_bytes(np.random.default_rng(0).bytes(free - 1_000_000))  # less than a checkpoint takes
    one_line(victim.distill(*words, root=small_disk), str(out), "make room, then go on with --resume")
    nothing_half(small_disk)
    rest.unlink()
    end = victim.distill(*words, "--set", "student.epochs=2", "--resume", root=small_disk)
    one_line(end, str(out), "make room") if end.code else Checkpoint.load(out)
