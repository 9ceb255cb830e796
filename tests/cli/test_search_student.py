"""`distill search-student` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from chain import Chain
from test_cli import distill, one_line_error

from distill.core.settings.recipe import Recipe
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle
from student.search.lesson import Lesson, answer_folds


def words(chain: Chain, teacher: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("search-student", "--data", chain.data, "--teacher", teacher, "--out", out, *chain.words(), *more)


def test_mistakes_are_one_line_before_any_work(chain: Chain, folded: Path, tmp_path: Path) -> None:
    out, ladder = tmp_path / "search", tmp_path / "ladder.toml"
    ladder.write_text("[a]\nstudent.text.layrs = 3\n")
    for more, said in (
        (("--ladder", ladder), "a: unknown key 'layrs'; did you mean layers?"),
        (("--ladder", tmp_path / "none.toml"), "none.toml"),
        (("--try", "a=student.text.layrs=3"), "a: unknown key 'layrs'; did you mean layers?"),
        (("--try", "a=teacher.epochs=3"), "a: teacher.epochs is the same for all candidates"),
        (("--try", "a", "--try", "a"), "--try: give each family of candidates a name of its own"),
        (("--try", "a b"), "'a b' cannot name a family of candidates"),
    ):
        assert said in one_line_error(distill(*words(chain, folded, out, *more)))
    assert not (out / "search.json").exists()
    without = one_line_error(distill(*words(chain, chain.teacher, out, "--try", "a")))
    assert "the teacher has no folds: train it with --set teacher.folds=3" in without


def test_a_candidate_answers_for_the_rows_of_its_folds_and_goes_on_from_them(
    chain: Chain, folded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from bench.search.run import lesson_of
    from distill.data.teacher_sources import TeacherSources

    lesson: Lesson = lesson_of(TeacherSources.of((folded,), None, None), chain.recipe, chain.splits)
    config = replace(chain.recipe.student, out_of_fold=True, epochs=1)
    first = answer_folds(lesson, config, tmp_path / "run", 1)
    held_out = [fold.held_out_mask for fold in lesson.targets.folds]
    assert np.array_equal(~np.isnan(first).any(axis=1), held_out[0])
    assert capsys.readouterr().err.count("examples train") == 1
    both = answer_folds(lesson, config, tmp_path / "run", 2)
    assert not np.isnan(both).any()
    assert capsys.readouterr().err.count("examples train") == 1  # the second fold alone


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_recommends_a_run_that_is_exported_with_one_more_command(
    chain: Chain, folded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "search"
    monkeypatch.setattr("student.search.search.QUICK_CALLS", 20)
    monkeypatch.setattr("student.search.search.CALLS", 20)
    more = (
        "--try",
        "a=student.text.layers=[2,1]",
        "--max-f1-drop",
        "0.9",
        "--jobs",
        2,
        "--set",
        "student.epochs=1",
    )
    result = distill(*words(chain, folded, out, *more))
    assert result.exit_code == 0, result.output
    report = json.loads((out / "search.json").read_text())
    name = report["recommendation"]["name"]
    rows = {row["name"]: row for row in report["rows"]}
    assert set(rows) == {"a-layers-2", "a-layers-1"}
    assert rows[name]["cost"]["ms"]["value"] > 0
    assert f"Recommended: {name}" in result.stderr
    assert (out / "search.html").read_text().rstrip().endswith("</html>")
    assert name in (out / "search.txt").read_text()
    best = Recipe.load(out / "best.toml")
    assert Checkpoint.load(out / "candidates" / name).classifier.config == best.student
    assert Bundle.open(out / "bundles" / name).precision == "int8"
    assert not (out / "untrained").exists()
    (command,) = [line for line in result.stderr.splitlines() if line.startswith("Next: ")]
    exported = command.removeprefix("Next: distill ").replace("runs/bundle", str(tmp_path / "bundle")).split()
    assert distill(*exported).exit_code == 0
    # A finished search is told as one, and resumed it does no work.
    refused = one_line_error(distill("train-student", "--data", chain.data, "--teacher", folded, "--out", out))
    assert "a finished search of students" in refused
    again = distill(*words(chain, folded, out, *more, "--resume", "--json"))
    assert again.exit_code == 0, again.output
    second, first = json.loads(again.stdout)["recommendation"], report["recommendation"]
    assert all(second[key] == first[key] for key in ("best", "not_worse", "max_drop"))
    assert second["name"] in first["not_worse"]  # perhaps another of them: noisy times are measured again
    assert "examples train" not in again.stderr
    shutil.rmtree(out)


def test_a_search_is_planned_and_nothing_is_written(chain: Chain, folded: Path, tmp_path: Path) -> None:
    more = ("--try", "a=student.text.layers=[2,1]", "--dry-run", "--json")
    result = distill(*words(chain, folded, tmp_path / "out", *more))
    assert result.exit_code == 0, result.output
    (plan,) = json.loads(result.stdout)
    assert (plan["trainings"], plan["name"]) == (2 * 1 + 1 * 1 + 1, "a search of 2 students")
    assert "2 candidates: a-layers-2, a-layers-1" in result.stderr
    assert list(tmp_path.iterdir()) == []
