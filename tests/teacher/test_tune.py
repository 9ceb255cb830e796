"""The search for a recipe: the same from the same seed, whole after a kill, and honest about what it found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("optuna")

import distill.cli.main as cli
from distill.core.errors import RunError
from distill.core.recipe import Recipe, TeacherConfig, recipes_folder
from distill.data.dataset import read_splits
from distill.data.stratify import stratified_folds
from distill.scoring.metrics import macro_f1, micro_f1
from distill.scoring.thresholds import cross_fitted
from teacher.tune import judge as fold_judge
from teacher.tune import search as tune
from teacher.tune.report import Terms, record, to_table, to_toml
from teacher.tune.search import Tried

FOLDS = 3
TINY = recipes_folder() / "tiny.toml"
SETTINGS = ("teacher.epochs=1", "teacher.learning_rate=5e-5")  # the second puts the recipe into the space


def base() -> TeacherConfig:
    return Recipe.load().teacher


def made_up(config: TeacherConfig) -> Iterator[float]:
    """Best at a rate of 3e-5 and a batch of 16; the same in every fold."""
    worth = 1 - abs(np.log10(config.learning_rate / 3e-5)) / 2 - 0.1 * (config.batch_size != 16)
    yield from [float(worth)] * FOLDS


def searched(folder: Path, trials: int, seed: int = 13, judge: tune.Judge = made_up) -> list[Tried]:
    return tune.search(base(), judge, folder, tune.Budget(trials, FOLDS, seed), lambda _: None)


def timeless(found: list[Tried]) -> list[Tried]:
    return [replace(one, seconds=0.0) for one in found]


def test_the_same_seed_gives_the_same_trials_and_the_first_is_the_recipe_itself(tmp_path: Path) -> None:
    one, two, other = (searched(tmp_path / name, 9, seed) for name, seed in (("1", 13), ("2", 13), ("3", 14)))
    assert timeless(one) == timeless(two)
    assert [t.values for t in one[1:]] != [t.values for t in other[1:]]
    assert tune.with_values(base(), one[0].values) == base()
    for tried in one:
        config = tune.with_values(base(), tried.values)
        assert 5e-6 <= config.learning_rate <= 1e-4
        assert config.batch_size in (8, 16, 32)
        assert tune.is_in_space(config)


def test_a_trial_that_falls_behind_is_not_trained_in_the_folds_that_are_left(tmp_path: Path) -> None:
    begun: list[int] = []

    def worse_and_worse(config: TeacherConfig) -> Iterator[float]:
        begun.append(0)
        for _ in range(FOLDS):
            begun[-1] += 1
            yield 1 / len(begun)

    found = searched(tmp_path, tune.STARTUP + 3, judge=worse_and_worse)
    assert begun == [FOLDS] * tune.STARTUP + [1] * 3
    assert [one.state for one in found] == ["complete"] * tune.STARTUP + ["pruned"] * 3
    assert [len(one.by_fold) for one in found] == begun
    assert found[-1].value is None
    assert tune.best_of(found).number == 1


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_tune
from teacher import tune
def dies(config):
    for fold, value in enumerate(test_tune.made_up(config)):
        done = Path(sys.argv[1], "done").read_text() if Path(sys.argv[1], "done").exists() else ""
        if len(done) == 7 and fold == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield value
    Path(sys.argv[1], "done").write_text(done + ".")
test_tune.searched(Path(sys.argv[1]), 9, judge=dies)
"""


def test_a_study_that_was_killed_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Killed in its ninth trial, which the sampler proposed from those before; in the middle of a line, and
    while it held the lock."""
    unbroken = searched(tmp_path / "whole", 9)
    killed = tmp_path / "killed"
    killed.mkdir()
    words = [sys.executable, "-c", KILLED, str(killed), str(Path(__file__).parent)]
    assert subprocess.run(words, capture_output=True).returncode == -signal.SIGKILL
    with (killed / tune.JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":6,"wor')
    (killed / f"{tune.JOURNAL}.lock").touch()
    begun: list[TeacherConfig] = []

    def counted(config: TeacherConfig) -> Iterator[float]:
        begun.append(config)
        yield from made_up(config)

    assert timeless(searched(killed, 9, judge=counted)) == timeless(unbroken)
    assert len(begun) == 1
    assert timeless(searched(killed, 3, judge=counted)) == timeless(unbroken)
    assert len(begun) == 1


def test_a_trial_that_cannot_be_trained_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(config: TeacherConfig) -> Iterator[float]:
        if config.batch_size != 32:
            raise RunError("the loss became nan")
        yield from made_up(config)

    found = searched(tmp_path, 9, judge=fails)
    failed = [one for one in found if one.state == "failed"]
    assert failed
    assert {one.fault for one in failed} == {"the loss became nan"}
    assert tune.best_of(found).values["batch_size"] == 32
    with pytest.raises(RunError, match="none of 1 trials gave a value; the first: the loss became nan"):
        tune.best_of(failed[:1])


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / tune.JOURNAL).write_text("no line of a journal\nnor this\n")
    with pytest.raises(RunError, match=r"study\.journal: damaged .* start over with --overwrite"):
        searched(tmp_path, 1)


def test_alphas_from_counts_leave_neither_alpha_nor_the_other_loss_to_search(tmp_path: Path) -> None:
    counted = replace(base(), class_weights="focal_alpha")
    found = tune.search(counted, made_up, tmp_path, tune.Budget(4, FOLDS, seed=13), lambda _: None)
    assert {key for one in found for key in one.values} == {"learning_rate", "batch_size", "loss", "focal.gamma"}
    assert all(tune.with_values(counted, one.values).loss == "focal" for one in found)


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ((), "learning_rate"),
        (("head.modalities=image",), "head_learning_rate"),
        (("head.modalities=image", "image.trainable=true"), "learning_rate"),
        (("text.model=lstm",), "head_learning_rate"),
        (("text.model=lstm", "image.model=cnn", "image.trainable=true"), "head_learning_rate"),
        (("text.model=lstm", "image.trainable=true", "head.modalities=text"), "head_learning_rate"),
        (("image.model=cnn", "image.trainable=true"), "learning_rate"),
    ],
)
def test_the_rate_that_is_searched_is_one_that_something_trains_at(
    settings: tuple[str, ...], rate: str, tmp_path: Path
) -> None:
    from teacher.tune import plots as tune_plots

    recipe = Recipe.load(None, [f"teacher.{setting}" for setting in settings])
    other = ({"learning_rate", "head_learning_rate"} - {rate}).pop()
    found = tune.search(recipe.teacher, made_up, tmp_path, tune.Budget(3, FOLDS, seed=13), lambda _: None)
    configs = [tune.with_values(recipe.teacher, one.values) for one in found]
    assert len({getattr(config, rate) for config in configs}) == 3
    assert {getattr(config, other) for config in configs} == {getattr(recipe.teacher, other)}
    low, high = tune.space(recipe.teacher)[rate]
    assert all(low <= getattr(config, rate) <= high for config in configs)
    terms = Terms(recipe, FOLDS, 13, 90)
    record(tmp_path, terms, found)
    assert rate in read(tmp_path)["space"]
    assert all(rate in one["values"] and other not in one["values"] for one in read(tmp_path)["trials"])
    best = Recipe.load(tmp_path / "best.toml").teacher
    assert getattr(best, rate) == read(tmp_path)["trials"][tune.best_of(found).number - 1]["values"][rate]
    assert rate.replace("_", " ") in [column.header for column in to_table(found, terms).columns]
    plotted = {ax.get_xlabel(): ax.get_xscale() for ax in tune_plots.parameters(found, "F1").axes}
    assert plotted[rate] == "log"
    assert other not in plotted


def test_a_recipe_as_toml_holds_what_differs_and_reads_back(tmp_path: Path) -> None:
    hard = (
        'teacher.text.model="a \\"b\\" \\\\ é \\u007f"',
        "student.distill.label_relations=0.5",
        "export.allow_slower=true",
    )
    recipe = Recipe.load(None, (*hard, "teacher.learning_rate=1e-5", "teacher.loss=asymmetric"))
    (tmp_path / "some.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert Recipe.load(tmp_path / "some.toml") == recipe
    assert len([line for line in to_toml(recipe).splitlines() if "=" in line]) == 5
    assert to_toml(Recipe.load()) == ""


@dataclass(frozen=True)
class Given:
    """What every search here begins with."""

    data: Path
    overrides: tuple[str, ...]

    @property
    def recipe(self) -> Recipe:
        return Recipe.load(TINY, self.overrides)

    def tune(self, out: Path, *more: str) -> Result:
        settings = [word for override in self.overrides for word in ("--set", override)]
        words = ["tune", "--data", str(self.data), "--out", str(out), "--recipe", str(TINY), *settings]
        return CliRunner().invoke(cli.main, [*words, "--folds", "2", *more])


@pytest.fixture(scope="module")
def given(data: Path, overrides: list[str]) -> Given:
    return Given(data, (*overrides, *SETTINGS))


@pytest.fixture(scope="module")
def study(given: Given, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A search of three trials, and what it said."""
    out = tmp_path_factory.mktemp("tune") / "out"
    done = given.tune(out, "--trials", "3")
    assert done.exit_code == 0, done.output
    return out, done.output


def read(out: Path) -> Any:
    return json.loads((out / "study.json").read_text())


def test_a_search_writes_its_best_recipe_its_trials_and_its_plots(given: Given, study: tuple[Path, str]) -> None:
    out, _ = study
    made, start = read(out), given.recipe
    assert [one["state"] for one in made["trials"]] == ["complete"] * 3
    best = max(made["trials"], key=lambda one: one["value"])
    assert made["best"] == best["number"]
    read_back = Recipe.load(out / "best.toml")
    assert tune.values_of(read_back.teacher) == best["values"]
    assert replace(read_back, teacher=start.teacher) == start
    assert tune.with_values(start.teacher, best["values"]) == read_back.teacher
    for name in ("history.png", "parameters.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert not list(out.rglob("checkpoint-*"))


def test_the_value_is_f1_of_answers_out_of_fold(given: Given, study: tuple[Path, str]) -> None:
    """Recomputed from the stored answers of the folds of the first trial, which is the recipe."""
    out, _ = study
    config = given.recipe.teacher
    splits = read_splits(given.data)
    targets = splits.labels.encode([example.labels for example in splits.train])
    values = set()
    for place in (out / "trials").iterdir():
        probabilities = np.zeros_like(targets)
        for number, part in enumerate(stratified_folds(targets, 2, fold_judge.FOLD_SEED), 1):
            stored = np.frombuffer((place / f"fold{number}.float32").read_bytes(), dtype=np.float32)
            probabilities[part] = stored.reshape(3, len(part), -1)[0]
        decisions = cross_fitted(probabilities, targets, config.threshold_objective)
        values.add((micro_f1(targets, decisions) + macro_f1(targets, decisions)) / 2)
    made = read(out)
    assert sorted(values) == pytest.approx(sorted({one["value"] for one in made["trials"]}))
    figure = made["verdict"]["value"]
    assert figure["value"] == pytest.approx(max(values))
    assert figure["low"] < figure["value"] < figure["high"]


def test_it_says_that_the_best_of_several_flatters_and_how_to_judge_it(study: tuple[Path, str]) -> None:
    out, said = study
    assert "balanced F1" in said
    assert "95 % over examples" in said
    assert "the best of 3 trials flatters" in said
    assert "distill compare-teachers --data" in said
    assert "distill compare-teachers" in (out / "best.toml").read_text()


def test_an_interrupted_search_keeps_what_is_done_and_goes_on(
    given: Given, study: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second fold of its second trial; the fold before is not trained again."""
    trained: list[int] = []
    original = fold_judge.out_of_fold

    def stopped(*given: Any, first: int) -> Any:
        trained.append(first)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return original(*given, first=first)

    with monkeypatch.context() as patch:
        patch.setattr(fold_judge, "out_of_fold", stopped)
        broken = given.tune(tmp_path / "out", "--trials", "3")
    assert broken.exit_code == 130
    assert "error: interrupted; 1 of 3 trials are kept in" in broken.output
    assert "--resume goes on" in broken.output
    assert [one["number"] for one in read(tmp_path / "out")["trials"]] == [1]
    again = given.tune(tmp_path / "out", "--trials", "3", "--resume")
    assert again.exit_code == 0, again.output
    assert again.output.count("examples train") == 3
    ours, unbroken = read(tmp_path / "out"), read(study[0])
    for tree in (ours, unbroken):
        for one in tree["trials"]:
            del one["seconds"]
    assert ours == unbroken


def test_what_stands_in_the_way_is_one_line(
    given: Given, study: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = study
    for words, message in (
        ((), f"holds a finished search, not a run; train by its best with distill train-teacher --recipe {out}"),
        ((), "pass --overwrite to start over, or choose another --out"),
        (("--resume", "--seed", "14"), "was started with tune.seed=13, not 14; resume as it was started"),
        (("--resume", "--folds", "3"), "was started with tune.folds=2, not 3"),
        (("--resume", "--set", "teacher.epochs=2"), "was started with epochs=1, not 2"),
    ):
        failed = given.tune(out, *words)
        assert failed.exit_code == 2
        assert message in failed.output.splitlines()[-1]
    seen = CliRunner().invoke(cli.main, ["inspect", str(out), "--data", str(given.data), "--out", str(tmp_path)])
    assert f"error: {out}: a finished search, not a run; train by its best" in seen.output.splitlines()[-1]
    assert "--resume" not in seen.output
    monkeypatch.setitem(sys.modules, "optuna", None)
    failed = given.tune(tmp_path / "new")
    assert failed.exit_code == 2
    assert failed.output == "error: distill tune needs optuna; pip install 'distill[tune]'\n"
