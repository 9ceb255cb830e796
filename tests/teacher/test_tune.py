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
from distill.core.settings.recipe import Recipe, TeacherConfig, recipes_folder
from distill.core.settings.recipe_text import changes_to_toml
from distill.data.dataset import read_splits
from distill.data.dividing.stratify import stratified_folds
from distill.scoring.metrics import macro_f1, micro_f1
from distill.scoring.thresholds import cross_fitted
from teacher.tune import cross_validation
from teacher.tune.plots import draw_parameters
from teacher.tune.report import search_table, write_study
from teacher.tune.search import (
    JOURNAL,
    STARTUP_TRIALS,
    Scores,
    SearchConfig,
    Trial,
    best_of,
    is_in_space,
    run_search,
    search_space,
    values_of,
    with_values,
)

FOLDS = 3
TINY = recipes_folder() / "tiny.toml"
SETTINGS = ("teacher.epochs=1", "teacher.learning_rate=5e-5")  # the second puts the recipe into the space


def base() -> TeacherConfig:
    return Recipe.load(None, ["teacher.learning_rate=5e-6"]).teacher


def fake_scores(config: TeacherConfig) -> Iterator[float]:
    """Best at a rate of 3e-5 and a batch of 16; the same in every fold."""
    score = 1 - abs(np.log10(config.learning_rate / 3e-5)) / 2 - 0.1 * (config.batch_size != 16)
    yield from [float(score)] * FOLDS


def searched(folder: Path, trials: int, seed: int = 13, scores: Scores = fake_scores) -> list[Trial]:
    recipe = Recipe.load(None, ["teacher.learning_rate=5e-6"])
    return run_search(SearchConfig(recipe, trials, FOLDS, seed), scores, folder, lambda _: None)


def timeless(trials: list[Trial]) -> list[Trial]:
    return [replace(trial, seconds=0.0) for trial in trials]


def test_the_same_seed_gives_the_same_trials_and_the_first_is_the_recipe_itself(tmp_path: Path) -> None:
    first, same, different = (
        searched(tmp_path / name, 9, seed) for name, seed in (("1", 13), ("2", 13), ("3", 14))
    )
    assert timeless(first) == timeless(same)
    assert [t.values for t in first[1:]] != [t.values for t in different[1:]]
    assert with_values(base(), first[0].values) == base()
    for trial in first:
        config = with_values(base(), trial.values)
        assert 5e-6 <= config.learning_rate <= 1e-4
        assert config.batch_size in (8, 16, 32)
        assert is_in_space(config)


def test_a_trial_that_falls_behind_is_not_trained_in_the_folds_that_are_left(tmp_path: Path) -> None:
    begun: list[int] = []

    def worse_and_worse(config: TeacherConfig) -> Iterator[float]:
        begun.append(0)
        for _ in range(FOLDS):
            begun[-1] += 1
            yield 1 / len(begun)

    trials = searched(tmp_path, STARTUP_TRIALS + 3, scores=worse_and_worse)
    assert begun == [FOLDS] * STARTUP_TRIALS + [1] * 3
    assert [trial.state for trial in trials] == ["complete"] * STARTUP_TRIALS + ["pruned"] * 3
    assert [len(trial.by_fold) for trial in trials] == begun
    assert trials[-1].value is None
    assert best_of(trials).number == 1


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_tune
def dies(config):
    for fold, value in enumerate(test_tune.fake_scores(config)):
        done = Path(sys.argv[1], "done").read_text() if Path(sys.argv[1], "done").exists() else ""
        if len(done) == 7 and fold == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield value
    Path(sys.argv[1], "done").write_text(done + ".")
test_tune.searched(Path(sys.argv[1]), 9, scores=dies)
"""


def test_a_study_that_was_killed_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Killed in its ninth trial, which the sampler proposed from those before; in the middle of a line, and
    while it held the lock."""
    unbroken = searched(tmp_path / "whole", 9)
    killed = tmp_path / "killed"
    killed.mkdir()
    words = [sys.executable, "-c", KILLED, str(killed), str(Path(__file__).parent)]
    assert subprocess.run(words, capture_output=True).returncode == -signal.SIGKILL
    with (killed / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":6,"wor')
    (killed / f"{JOURNAL}.lock").touch()
    begun: list[TeacherConfig] = []

    def counted(config: TeacherConfig) -> Iterator[float]:
        begun.append(config)
        yield from fake_scores(config)

    assert timeless(searched(killed, 9, scores=counted)) == timeless(unbroken)
    assert len(begun) == 1
    assert timeless(searched(killed, 3, scores=counted)) == timeless(unbroken)
    assert len(begun) == 1


def test_a_trial_that_cannot_be_trained_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(config: TeacherConfig) -> Iterator[float]:
        if config.batch_size != 32:
            raise RunError("the loss became nan")
        yield from fake_scores(config)

    trials = searched(tmp_path, 9, scores=fails)
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    assert {trial.fault for trial in failed} == {"the loss became nan"}
    assert best_of(trials).values["batch_size"] == 32
    with pytest.raises(RunError, match="none of 1 trials gave a value; the first: the loss became nan"):
        best_of(failed[:1])


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("no line of a journal\nnor this\n")
    with pytest.raises(RunError, match=r"study\.journal: damaged .* start over with --overwrite"):
        searched(tmp_path, 1)


def test_alphas_from_counts_leave_neither_alpha_nor_the_other_loss_to_search(tmp_path: Path) -> None:
    counted = replace(base(), class_weights="focal_alpha")
    config = SearchConfig(replace(Recipe.load(), teacher=counted), 4, FOLDS, seed=13)
    trials = run_search(config, fake_scores, tmp_path, lambda _: None)
    keys = {key for trial in trials for key in trial.values}
    assert keys == {"learning_rate", "batch_size", "loss", "focal.gamma"}
    assert all(with_values(counted, trial.values).loss == "focal" for trial in trials)


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ((), "learning_rate"),
        (("head.modalities=image",), "head_learning_rate"),
        (("head.modalities=image", "image.trainable=true"), "learning_rate"),
        (("text.model=lstm",), "head_learning_rate"),
        (("text.model=static:x",), "head_learning_rate"),
        (("text.model=lstm", "image.model=cnn", "image.trainable=true"), "head_learning_rate"),
        (("text.model=lstm", "image.trainable=true", "head.modalities=text"), "head_learning_rate"),
        (("image.model=cnn", "image.trainable=true"), "learning_rate"),
    ],
)
def test_the_rate_that_is_searched_is_one_that_something_trains_at(
    settings: tuple[str, ...], rate: str, tmp_path: Path
) -> None:
    plain = ["teacher.head_start=random", "teacher.text.ngrams=off"]
    recipe = Recipe.load(None, [*plain, *(f"teacher.{setting}" for setting in settings)])
    other_rate = ({"learning_rate", "head_learning_rate"} - {rate}).pop()
    search_config = SearchConfig(recipe, 3, FOLDS, seed=13)
    trials = run_search(search_config, fake_scores, tmp_path, lambda _: None)
    configs = [with_values(recipe.teacher, trial.values) for trial in trials]
    assert len({getattr(config, rate) for config in configs}) == 3
    assert {getattr(config, other_rate) for config in configs} == {getattr(recipe.teacher, other_rate)}
    low, high = search_space(recipe.teacher)[rate]
    assert all(low <= getattr(config, rate) <= high for config in configs)
    write_study(tmp_path, search_config, 90, trials)
    assert rate in read(tmp_path)["space"]
    assert all(rate in t["values"] and other_rate not in t["values"] for t in read(tmp_path)["trials"])
    best = Recipe.load(tmp_path / "best.toml").teacher
    assert getattr(best, rate) == read(tmp_path)["trials"][best_of(trials).number - 1]["values"][rate]
    assert rate.replace("_", " ") in [column.header for column in search_table(trials, search_config, 90).columns]
    plotted = {ax.get_xlabel(): ax.get_xscale() for ax in draw_parameters(trials, "F1").axes}
    assert plotted[rate] == "log"
    assert other_rate not in plotted


def test_a_recipe_as_toml_holds_what_differs_and_reads_back(tmp_path: Path) -> None:
    hard = (
        'teacher.text.model="a \\"b\\" \\\\ é \\u007f"',
        "student.distill.label_relations=0.5",
        "export.allow_slower=true",
    )
    recipe = Recipe.load(None, (*hard, "teacher.learning_rate=1e-5", "teacher.loss=asymmetric"))
    (tmp_path / "some.toml").write_text(changes_to_toml(recipe), encoding="utf-8")
    assert Recipe.load(tmp_path / "some.toml") == recipe
    assert len([line for line in changes_to_toml(recipe).splitlines() if "=" in line]) == 5
    assert changes_to_toml(Recipe.load()) == ""


@dataclass(frozen=True)
class Setup:
    """What every search here begins with."""

    data: Path
    overrides: tuple[str, ...]

    @property
    def recipe(self) -> Recipe:
        return Recipe.load(TINY, self.overrides)

    def tune(self, out: Path, *more: str) -> Result:
        settings = [word for override in self.overrides for word in ("--set", override)]
        words = ["tune", "--data", str(self.data), "--out", str(out), "--recipe", str(TINY), *settings]
        folds = () if "--folds" in more else ("--folds", "2")
        return CliRunner().invoke(cli.main, [*words, *folds, *more])


@pytest.fixture(scope="module")
def setup(data: Path, overrides: list[str]) -> Setup:
    return Setup(data, (*overrides, *SETTINGS))


@pytest.fixture(scope="module")
def study(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A search of three trials, and its output."""
    out = tmp_path_factory.mktemp("tune") / "out"
    result = setup.tune(out, "--trials", "3", "--report-to", "tensorboard")
    assert result.exit_code == 0, result.output
    return out, result.output


def read(out: Path) -> Any:
    return json.loads((out / "study.json").read_text())


def test_a_search_writes_its_best_recipe_its_trials_and_its_plots(setup: Setup, study: tuple[Path, str]) -> None:
    out, _ = study
    tree, start = read(out), setup.recipe
    assert [trial["state"] for trial in tree["trials"]] == ["complete"] * 3
    best = max(tree["trials"], key=lambda trial: trial["value"])
    assert tree["best"] == best["number"]
    read_back = Recipe.load(out / "best.toml")
    assert values_of(read_back.teacher) == best["values"]
    assert replace(read_back, teacher=start.teacher) == start
    assert with_values(start.teacher, best["values"]) == read_back.teacher
    for name in ("history.png", "parameters.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert not list(out.rglob("checkpoint-*"))


def test_a_search_logs_each_trial_its_table_and_its_files(study: tuple[Path, str]) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out, said = study
    events = event_accumulator.EventAccumulator(str(out / "tensorboard.events")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("trials/value")]
    assert logged == [(t["number"], pytest.approx(t["value"])) for t in read(out)["trials"]]
    files = {tag.removesuffix("/text_summary") for tag in events.Tags()["tensors"]}
    assert files == {"recipe", "study.json", "best.toml", "study.txt", "history.png", "parameters.png"}
    assert (out / "study.txt").read_text(encoding="utf-8").splitlines()[0].strip() in said


def test_the_value_is_f1_of_answers_out_of_fold(setup: Setup, study: tuple[Path, str]) -> None:
    """Recomputed from the stored answers of the folds of the first trial, which is the recipe."""
    out, _ = study
    config = setup.recipe.teacher
    splits = read_splits(setup.data)
    targets = splits.labels.encode([example.labels for example in splits.train])
    values = set()
    for place in (out / "trials").iterdir():
        probabilities = np.zeros_like(targets)
        for number, part in enumerate(stratified_folds(targets, 2, cross_validation.FOLD_SEED), 1):
            stored = np.frombuffer((place / f"fold{number}.float32").read_bytes(), dtype=np.float32)
            probabilities[part] = stored.reshape(3, len(part), -1)[0]
        decisions = cross_fitted(probabilities, targets, config.threshold_objective)
        values.add((micro_f1(targets, decisions) + macro_f1(targets, decisions)) / 2)
    tree = read(out)
    assert sorted(values) == pytest.approx(sorted({trial["value"] for trial in tree["trials"]}))
    best = tree["verdict"]["value"]
    assert best["value"] == pytest.approx(max(values))
    assert best["low"] < best["value"] < best["high"]


def test_it_says_that_the_best_of_several_flatters_and_how_to_judge_it(study: tuple[Path, str]) -> None:
    out, output = study
    assert "balanced F1" in output
    assert "95 % over examples" in output
    assert "the best of 3 trials flatters" in output
    assert "distill compare-teachers --data" in output
    assert "distill compare-teachers" in (out / "best.toml").read_text()


@pytest.mark.slow
def test_an_interrupted_search_keeps_what_is_done_and_goes_on(
    setup: Setup, study: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second fold of its second trial; the fold before is not trained again."""
    trained: list[int] = []
    original = cross_validation.predict_out_of_fold

    def stopped(*arguments: Any, max_folds: int) -> Any:
        trained.append(max_folds)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return original(*arguments, max_folds=max_folds)

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "predict_out_of_fold", stopped)
        broken = setup.tune(tmp_path / "out", "--trials", "3")
    assert broken.exit_code == 130
    assert "error: interrupted; 1 of 3 trials are kept in" in broken.output
    assert "--resume goes on" in broken.output
    assert [trial["number"] for trial in read(tmp_path / "out")["trials"]] == [1]
    again = setup.tune(tmp_path / "out", "--trials", "3", "--resume")
    assert again.exit_code == 0, again.output
    assert again.output.count("examples train") == 3
    ours, unbroken = read(tmp_path / "out"), read(study[0])
    for tree in (ours, unbroken):
        for trial in tree["trials"]:
            del trial["seconds"]
    assert ours == unbroken


def test_what_stands_in_the_way_is_one_line(
    setup: Setup, study: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = study
    for words, message in (
        (
            (),
            f"holds a finished search, not a run; train by its best with distill train-teacher --recipe {out}",
        ),
        ((), "pass --overwrite to start over, or choose another --out"),
        (("--resume", "--seed", "14"), "was started with tune.seed=13, not 14; resume as it was started"),
        (("--resume", "--folds", "3"), "was started with tune.folds=2, not 3"),
        (("--resume", "--set", "teacher.epochs=2"), "was started with epochs=1, not 2"),
    ):
        failed = setup.tune(out, *words)
        assert failed.exit_code == 2
        assert message in failed.output.splitlines()[-1]
    seen = CliRunner().invoke(cli.main, ["inspect", str(out), "--data", str(setup.data), "--out", str(tmp_path)])
    assert f"error: {out}: a finished search, not a run; train by its best" in seen.output.splitlines()[-1]
    assert "--resume" not in seen.output
    probe = ("teacher.head_start=probe", "teacher.head.hidden_size=0", "teacher.epochs=0")
    failed = setup.tune(tmp_path / "probe", *(word for each in probe for word in ("--set", each)))
    assert "teacher.epochs=0 fits a head once" in failed.output.splitlines()[-1]
    monkeypatch.setitem(sys.modules, "optuna", None)
    failed = setup.tune(tmp_path / "new")
    assert failed.exit_code == 2
    assert failed.output == "error: distill tune needs optuna; pip install 'distill[tune]'\n"
