"""What each tracker is told, and that none of them is missed or believed without need."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distill.core import tracking
from distill.core.errors import ArgumentError, InstallError, RecipeError
from distill.core.settings.recipe import Recipe
from distill.core.tracking import choose_trackers, flatten, open_tracking
from distill.core.tracking.trackers import Home, _plain

FIGURES = {"f1/🙂": 0.5, "f1/🙃": 0.25, "f1/plain label": 1.0}


class Recorder:
    """Remembers every call, and answers with itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []
        self.id, self.url = "id7", "https://example.org/id7"
        self.config = SimpleNamespace(update=lambda *args, **kwargs: self.calls.append(("config", args, kwargs)))

    def __getattr__(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> Recorder:
            self.calls.append((name, args, kwargs))
            return self

        return called

    def of(self, name: str) -> list[tuple[Any, Any]]:
        """The arguments of every call of that name."""
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "report.md").write_text("| a |\n", encoding="utf-8")
    return tmp_path / "report.md"


def log_something(name: str, home: Home, report: Path, resume: bool = False) -> None:
    with open_tracking([name], home, {"teacher.epochs": "2"}, resume) as opened:
        opened.log(FIGURES, 3, "fold1")
        opened.log_files([report])


def test_the_recipe_names_trackers_and_the_command_line_others_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "require", lambda *_: None)
    of_recipe = Recipe.load(overrides=["tracking.report_to=['mlflow']"]).tracking.report_to
    assert choose_trackers((), of_recipe) == choose_trackers(None, of_recipe) == ("mlflow",)
    assert choose_trackers(["wandb", "wandb"], of_recipe) == choose_trackers("wandb", of_recipe) == ("wandb",)
    assert choose_trackers("none", of_recipe) == ()
    with pytest.raises(ArgumentError, match=r"^report_to must be one of tensorboard, mlflow, .*; got 'excel'$"):
        choose_trackers("excel")
    with pytest.raises(ArgumentError, match=r"^report_to: none excludes mlflow"):
        choose_trackers(["none", "mlflow"])
    with pytest.raises(RecipeError, match=r"tracking\.report_to must be one of"):
        Recipe.load(overrides=["tracking.report_to=['excel']"])


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb", "trackio"])
def test_a_missing_tracker_is_one_line_with_the_next_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InstallError, match=rf"^report_to={name} needs {name}; pip install 'distill\[{name}\]'$"):
        choose_trackers(name)


def test_a_server_that_is_not_there_costs_one_warning(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    log_something("mlflow", Home.of_run(tmp_path), report)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("warning: mlflow fails and logs nothing more") == 1
    assert not (tmp_path / "tracking.json").exists()


def test_wandb_gets_an_axis_for_each_training_and_goes_on_by_its_id(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", wandb)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    home = Home.of_run(tmp_path / "teacher")
    log_something("wandb", home, report)
    log_something("wandb", home, report, resume=True)
    first, second = (kwargs for _, kwargs in wandb.of("init"))
    assert first == {"project": "distill", "name": "teacher", "id": None, "resume": None}
    assert second == {**first, "id": "id7", "resume": "allow"}
    assert wandb.of("define_metric")[0] == (("fold1/*",), {"step_metric": "fold1/step"})
    named = {f"fold1/{name}": value for name, value in FIGURES.items()}
    assert wandb.of("log")[0] == (({**named, "fold1/step": 3},), {})
    assert wandb.of("add_file")[0] == ((str(report),), {})
    assert wandb.of("finish") == [((), {"exit_code": 0})] * 2


def test_trackio_gets_a_run_of_its_own_name_and_goes_on_with_it(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackio = Recorder()
    monkeypatch.setitem(sys.modules, "trackio", trackio)  # type: ignore[arg-type]
    monkeypatch.setenv("TRACKIO_PROJECT", "memes")
    home = Home.of_run(tmp_path / "teacher")
    log_something("trackio", home, report)
    log_something("trackio", home, report, resume=True)
    log_something("trackio", home, report)
    first, resumed, other = (kwargs["name"] for _, kwargs in trackio.of("init"))
    assert first == resumed != other
    assert first.startswith("teacher-")
    assert trackio.of("init")[0][1]["project"] == "memes"
    assert trackio.of("log")[0][1] == {"step": 3}
    assert len(trackio.of("log_artifact")) == 3


def test_labels_keep_apart_where_a_tracker_takes_plain_names_alone() -> None:
    assert _plain("f1/plain label") == "f1/plain label"
    assert len({_plain(name) for name in FIGURES}) == len(FIGURES)


def test_settings_are_flat_and_named_as_in_a_recipe() -> None:
    tree = {"teacher": {"text": {"model": "a/b", "layers": 0}, "constant": True, "labels": ["x"]}}
    assert flatten(tree) == {
        "teacher.text.model": "a/b",
        "teacher.text.layers": "0",
        "teacher.constant": "true",
        "teacher.labels": '["x"]',
    }
