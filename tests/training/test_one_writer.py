"""A run's folder has one writer, from its beginning to its end; so have a Bundle and a folder of predictions."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from click.testing import CliRunner
from second_process import second_process, writing

import teacher.train
from distill.cli.main import main
from distill.core.errors import OutputError
from distill.core.storage.lock import lock_beside, lock_inside, take
from distill.data.run_folder import is_run
from distill.runtime.ray.output_folder import OutputFolder
from distill.training.run_writer import RunStart, claim_run


def refused(process: int, *words: object) -> None:
    """In one line, with who is writing."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert f": process {process} on {platform.node()} is writing it; wait until it has ended" in line


def test_no_command_writes_the_folder_of_a_running_training(chain: Chain, folded: Path, tmp_path: Path) -> None:
    out, data, teachers = tmp_path / "run", ("--data", chain.data), ("--teacher", chain.teacher)
    commands: list[tuple[object, ...]] = [
        ("train-teacher", *data, *chain.words()),
        ("train-student", *data, *teachers, *chain.words()),
        ("finetune-int8", chain.student, *data, *teachers, *chain.words()),
        ("compare-teachers", *data, "--try", "a", "--try", "b=teacher.epochs=1", *chain.words()),
        ("tune", *data, *chain.words()),
        ("search-student", *data, "--teacher", folded, "--try", "a", *chain.words()),
    ]
    with second_process(writing(out, inside=True)) as second:
        for command in commands:
            for more in ((), ("--resume",), ("--overwrite",)):
                refused(second.pid, *command, "--out", out, *more)
        link = tmp_path / "link"
        link.symlink_to(out)
        refused(second.pid, *commands[0], "--out", link)
        assert [path.name for path in out.iterdir()] == [".lock"]


def test_a_retraining_is_refused_beside_another_training(chain: Chain, tmp_path: Path) -> None:
    from distill.data.generated import write_demo_data

    out, fresh = tmp_path / "run", tmp_path / "fresh"
    write_demo_data(fresh, sizes=(32, 16, 32), seed=5)
    words = ("retrain", chain.teacher, "--data", fresh, "--test", fresh / "test.json")
    with second_process(writing(out, inside=True)) as second:
        refused(second.pid, *words, "--out", out)


def test_the_folder_is_locked_until_the_run_is_whole_and_free_after_it(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, locked, finish = tmp_path / "run", [], teacher.train.finish_run

    def finish_run(folder: Path, *rest: Any) -> Any:
        finished = finish(folder, *rest)
        locked.append(take(lock_inside(folder)) is None)
        return finished

    monkeypatch.setattr(teacher.train, "finish_run", finish_run)
    words = ["train-teacher", "--data", str(chain.data), *chain.words("teacher.epochs=1"), "--out", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert locked == [True]
    assert not lock_inside(out).exists()


def test_an_overwritten_run_stays_locked(chain: Chain, tmp_path: Path) -> None:
    out, start = tmp_path / "run", RunStart("teacher", chain.recipe.teacher, chain.splits)
    with claim_run(out, start, resume=False, overwrite=False):
        (out / "run.json").write_text("{}")
    with claim_run(out, start, resume=False, overwrite=True) as is_unfinished:
        assert is_unfinished
        assert take(lock_inside(out)) is None
        assert not is_run(out)
    assert is_run(out)  # nothing came in its place


def test_a_refused_beginning_leaves_no_folder(chain: Chain, tmp_path: Path) -> None:
    words = ["train-teacher", "--data", str(chain.data), *chain.words(), "--out", str(tmp_path / "new"), "--resume"]
    assert "nothing to resume" in CliRunner().invoke(main, words).stderr
    assert not (tmp_path / "new").exists()


def test_two_exports_do_not_write_one_bundle(chain: Chain, tmp_path: Path) -> None:
    words = ("export", chain.student, "--data", chain.data, *chain.words(), "--out", tmp_path / "bundle")
    with second_process(writing(tmp_path / "bundle", inside=False)) as second:
        refused(second.pid, *words)
    with second_process(writing(tmp_path / "bundle-fp32", inside=False)) as second:
        refused(second.pid, *words, "--int8")
    assert not any(tmp_path.glob("bundle*"))
    assert take(lock_beside(tmp_path / "bundle")) is not None


def test_two_clusters_do_not_write_one_folder(tmp_path: Path) -> None:
    out = OutputFolder(tmp_path / "out", tmp_path / "rows.jsonl", [], {})
    with (
        second_process(writing(out.out, inside=True)),
        pytest.raises(OutputError, match="is writing it"),
        out.locked(),
    ):
        pass
    with out.locked():
        out.begin()
        assert out.missing(resume=False) == []
    assert [path.name for path in out.out.iterdir()] == ["manifest.json"]
