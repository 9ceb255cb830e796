"""What is printed comes after what is written, and a stream that cannot encode it gets escapes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chain import ROOT, Chain
from click.testing import CliRunner
from victim import Victim

from distill.cli.main import main
from distill.core.output import terminal
from distill.data.run_folder import is_run
from distill.runtime.bundle import Bundle

ENCODINGS = ("ascii", "latin-1", "cp1252")


class PrintingError(Exception):
    """In place of whatever a stream may raise."""


@pytest.fixture
def unprintable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table can be printed."""

    def fail(*_: Any, **__: Any) -> None:
        raise PrintingError

    monkeypatch.setattr(terminal.output, "print", fail)


def fails_to_print(*words: object) -> None:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert isinstance(result.exception, PrintingError), result.output


@pytest.mark.usefixtures("unprintable")
def test_a_training_whose_table_cannot_be_printed_is_finished(chain: Chain, tmp_path: Path) -> None:
    quick = chain.words("teacher.epochs=1", "student.epochs=1", "finetune.epochs=1")
    copy = shutil.copytree(chain.teacher, tmp_path / "copy")  # --control adds soft targets to its run
    data, teacher = ("--data", chain.data, *quick), ("--teacher", copy)
    fails_to_print("train-teacher", *data, "--out", tmp_path / "teacher")
    fails_to_print("train-student", *data, *teacher, "--control", "--out", tmp_path / "student")
    fails_to_print("finetune-int8", chain.student, *data, *teacher, "--out", tmp_path / "int8")
    for name in ("teacher", "student", "int8"):
        assert is_run(tmp_path / name), name
        assert not (tmp_path / name / "training").exists()
    assert "distillation" in json.loads((tmp_path / "student" / "metrics.json").read_text())


@pytest.mark.usefixtures("unprintable")
def test_figures_whose_table_cannot_be_printed_are_written(chain: Chain, tmp_path: Path) -> None:
    fails_to_print("evaluate", chain.int8, "--data", chain.data, "--out", tmp_path / "evaluated.json")
    fails_to_print("verify", chain.int8, "--out", tmp_path / "verified.json")
    fails_to_print("explain", chain.int8, "--text", "a text", "--out", tmp_path / "explained.png")
    names = ["evaluated.json", "explained.json", "explained.png", "verified.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


# torch's exporter takes seconds; it is not what is tried here.
EXPORT = """
import shutil
import export.pipeline
from distill.cli.main import main
from distill.core.output import terminal
def fail(*_, **__):
    raise SystemExit(9)
terminal.output.print = fail
export.pipeline.to_onnx = lambda classifier, path: shutil.copyfile({fp32!r}, path)
main({words!r})
"""


def test_an_export_whose_table_cannot_be_printed_is_written(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    words = ["export", str(chain.student), "--data", str(chain.data), "--int8", "--out", str(tmp_path / "bundle")]
    quick = chain.words("export.matmuls=dynamic", "export.convolutions=float")
    end = victim.run(EXPORT.format(fp32=str(chain.fp32 / "model.onnx"), words=[*words, *quick]), tmp_path)
    assert end.code == 9, end.output
    assert [Bundle.open(tmp_path / name).precision for name in ("bundle", "bundle-fp32")] == ["int8", "fp32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_stream_that_cannot_encode_a_name_gets_an_escape(chain: Chain, tmp_path: Path, encoding: str) -> None:
    bundle = tmp_path / "страх-恐怖"
    shutil.copytree(chain.int8, bundle)
    command = [sys.executable, "-m", "distill.cli", "verify", bundle.name, "--out", "out.json"]
    environment = dict(os.environ) | {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    assert rb"\u0441\u0442\u0440\u0430\u0445-\u6050\u6016: golden answers" in ended.stdout
    assert (tmp_path / "out.json").is_file()
