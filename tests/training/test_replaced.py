"""--overwrite costs nobody a run: the earlier one stays until the new one is finished, or comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from distill.cli.main import main
from distill.core.errors import RunError
from distill.core.settings.recipe import Recipe, recipes_folder
from distill.data.dataset import read_splits
from distill.data.run_folder import read_run
from distill.training.run_writer import RunStart, begin_run, claim_run

EARLIER = {"run.json": "{}", "model.safetensors": "earlier", "started.json": "{}", "train.log": "earlier\n"}


@pytest.fixture
def start(recipe: Recipe, data: Path) -> RunStart:
    return RunStart("teacher", recipe.teacher, read_splits(data))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What counts as a finished run."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in EARLIER.items():
        (folder / name).write_text(content)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@contextmanager
def failing(run: Path, start: RunStart, resume: bool = False) -> Iterator[None]:
    """A training that overwrites or resumes and fails at the end of the block."""
    with suppress(ZeroDivisionError), claim_run(run, start, resume, not resume):
        yield
        _ = 1 / 0


def fail_with_work(run: Path, start: RunStart) -> None:
    with failing(run, start):
        (run / "training").mkdir()
        (run / "training" / "checkpoint").write_text("new")


@pytest.mark.parametrize(
    "words",
    [
        ("train-teacher",),
        ("baseline",),
        ("compare-teachers", "--try", "one", "--try", "two=teacher.batch_size=4"),
        ("tune", "--trials", "1"),
    ],
    ids=lambda words: words[0],
)
def test_a_misspelt_encoder_costs_no_run(
    words: tuple[str, ...], run: Path, data: Path, overrides: list[str]
) -> None:
    recipe = ["--recipe", recipes_folder() / "tiny.toml"]
    settings = [
        word for override in (*overrides, "teacher.text.model=someone/mispelt") for word in ("--set", override)
    ]
    command = [words[0], "--data", data, "--out", run, "--overwrite", *words[1:], *recipe, *settings]
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 2, done.output
    assert "someone/mispelt" in done.stderr.splitlines()[-1]
    assert f"{run}: holds the run that was there, as nothing came in its place" in done.stderr
    assert content(run) == EARLIER


def test_a_training_that_failed_with_work_keeps_both_until_it_is_finished(
    run: Path, start: RunStart, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with_work(run, start)
    assert content(run / "replaced") == EARLIER
    assert f"{run / 'replaced'}: keeps the run that was there, until {run} is finished" in capsys.readouterr().err
    with pytest.raises(RunError, match=rf"an unfinished run.*; the run that it is to replace is {run}/replaced"):
        read_run(run)
    with failing(run, start, resume=True):
        assert (run / "training" / "checkpoint").is_file()
    assert content(run / "replaced") == EARLIER
    with claim_run(run, start, resume=True, overwrite=False) as is_unfinished:
        assert is_unfinished
        (run / "run.json").write_text("new")
    assert not (run / "replaced").exists()
    assert (run / "run.json").read_text() == "new"


def test_an_unfinished_run_that_is_overwritten_does_not_cost_the_finished_one_before(
    run: Path, start: RunStart
) -> None:
    fail_with_work(run, start)
    with failing(run, start):
        assert content(run / "replaced") == EARLIER
        assert not (run / "training").exists()
    assert content(run) == EARLIER


def test_what_a_kill_before_the_first_result_left_comes_back_or_goes_on(run: Path, start: RunStart) -> None:
    begin_run(run, start, resume=False, overwrite=True)  # and never ended
    with pytest.raises(RunError, match="holds a finished run"), claim_run(run, start, False, False):
        pass
    assert content(run) == EARLIER
    begin_run(run, start, resume=False, overwrite=True)
    with claim_run(run, start, resume=True, overwrite=False) as is_unfinished:
        assert is_unfinished
        (run / "run.json").write_text("new")
    assert not (run / "replaced").exists()


def test_a_folder_of_that_name_that_is_somebody_elses_costs_no_file(
    tmp_path: Path, run: Path, start: RunStart
) -> None:
    work = tmp_path / "work"
    for folder in (work, run):
        (folder / "replaced").mkdir(parents=True)
        (folder / "replaced" / "mine.csv").write_text("mine")
    (work / "thesis.txt").write_text("mine")
    for folder, said in ((work, "holds files that are not a run"), (run, "holds a finished run")):
        with pytest.raises(RunError, match=said), claim_run(folder, start, False, False):
            pass
        assert (folder / "replaced" / "mine.csv").read_text() == "mine"
    assert (work / "thesis.txt").read_text() == "mine"
    assert EARLIER.items() <= {path.name: path.read_text() for path in run.iterdir() if path.is_file()}.items()
    with failing(run, start):  # it comes back with the run that it is part of
        assert not (run / "replaced" / "mine.csv").exists()
    assert (run / "replaced" / "mine.csv").read_text() == "mine"
    (work / "thesis.txt").unlink()
    with pytest.raises(RunError, match="holds files that are not a run"), claim_run(work, start, False, False):
        pass
    assert (work / "replaced" / "mine.csv").read_text() == "mine"
