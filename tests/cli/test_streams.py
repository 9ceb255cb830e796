"""Standard streams that are closed, full or broken: work is not lost to them, and one line says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from chain import Chain

RUN = [sys.executable, "-m", "distill.cli"]


def shell(words: list[object], redirection: str) -> subprocess.CompletedProcess[str]:
    command = f'"$@" {redirection}'
    arguments = ["sh", "-c", command, "sh", *RUN, *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        (">&-", "standard output: is closed"),
        ("> /dev/full", "standard output: No space left on device"),
        ("| true", ""),
    ],
)
def test_predictions_that_cannot_be_printed_are_one_line(chain: Chain, redirection: str, reason: str) -> None:
    done = shell(["predict", chain.int8, "--text", "what a day"], redirection)
    if reason:
        assert reason in one_error(done)
    assert "Traceback" not in done.stderr


def test_a_table_that_cannot_be_printed_costs_no_file(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "verify.json"
    done = shell(["verify", chain.int8, "--out", out], "> /dev/full")
    assert "standard output: No space left on device" in one_error(done)
    assert out.is_file()


def test_help_on_a_full_disk_is_one_line() -> None:
    assert "standard output: No space left" in one_error(shell(["--help"], "> /dev/full"))
    assert "standard output: is closed" in one_error(shell(["predict", "--help"], ">&-"))


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", "<&- >&- 2>&-"])
def test_a_standard_error_that_cannot_be_written_stops_nothing(
    chain: Chain, tmp_path: Path, redirection: str
) -> None:
    out = tmp_path / "predictions.jsonl"
    done = shell(["predict", chain.int8, chain.data / "test.json", "--out", out], redirection)
    assert done.returncode == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(chain.splits.test)
    assert all(line.startswith('{"id"') for line in lines)  # nothing that was printed is among them


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE='two' is not a whole number"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK='x' is not a whole number"),
        ({"WORLD_SIZE": "9" * 5000}, "is not a whole number"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2 is set, but not MASTER_ADDR and MASTER_PORT"),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, "but not MASTER_PORT"),
        (
            {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK=2 is not below WORLD_SIZE=2",
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "distill verify runs in one process",
        ),
    ],
)
def test_launch_variables_that_no_launcher_sets_are_one_line(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    from test_cli import distill, one_line_error

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert message in one_line_error(distill("verify", chain.int8))
    if "verify" not in message:
        words = ("train-teacher", "--data", chain.data, "--out", chain.data / "none")
        assert message in one_line_error(distill(*words))


def test_a_training_with_half_of_the_launch_variables_is_one_line(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_cli import distill, one_line_error

    words = ("train-teacher", "--data", chain.data, "--out", chain.data / "none")
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "3")
            assert f"{name}=3 is set, but not RANK" in one_line_error(distill(*words))
