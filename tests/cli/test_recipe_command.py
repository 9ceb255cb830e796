"""`distill recipe`: defaults, comments, what a run used, differences; and completion of keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chain import Chain
from click.shell_completion import ShellComplete
from test_cli import distill, one_line_error

from distill.cli.main import main
from distill.core.settings.recipe import Recipe
from distill.core.settings.recipe_text import settings, to_toml
from distill.core.settings.schema import flatten, read_toml


def completed(*words: str) -> list[str]:
    shell = ShellComplete(main, {}, "distill", "_DISTILL_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_the_defaults_are_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "defaults.toml"
    path.write_text(distill("recipe").stdout, encoding="utf-8")
    assert Recipe.load(path) == Recipe.load()


def test_every_key_is_listed_with_its_default() -> None:
    from dataclasses import asdict

    listed = {setting.key: setting.value() for setting in settings()}
    tree = flatten(asdict(Recipe.load()))
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in tree.items()} == listed


def test_a_key_is_shown_with_its_comment_and_a_table_with_all_of_its_keys() -> None:
    assert distill("recipe", "teacher.pooling").exit_code == 2
    one = distill("recipe", "teacher.optimizer").stdout
    assert one == (
        'teacher.optimizer = "adamw"  # adamw; or nadam, which takes several times as long per step on a CPU\n'
    )
    table = distill("recipe", "student.distill").stdout.splitlines()
    assert len(table) == 7
    assert all(line.startswith("student.distill.") for line in table)


def test_what_a_run_or_a_bundle_used_is_a_recipe_that_trains_the_same(chain: Chain, tmp_path: Path) -> None:
    for folder in (chain.student, chain.int8):
        path = tmp_path / f"{folder.name}.toml"
        path.write_text(distill("recipe", folder).stdout, encoding="utf-8")
        used = Recipe.load(path).student
        assert (used.epochs, used.image.size) == (chain.recipe.student.epochs, 32)
    assert Recipe.load(tmp_path / "student.toml").student == chain.recipe.student


def test_diff_shows_what_differs_and_nothing_else(chain: Chain) -> None:
    result = distill("recipe", "diff", "defaults", chain.teacher, "--json")
    changed = json.loads(result.stdout)
    assert changed["teacher.epochs"] == {"a": 4, "b": 2}
    assert "teacher.seed" not in changed
    assert not [key for key in changed if not key.startswith("teacher.")]
    assert "0 setting(s) differ" in distill("recipe", "diff", chain.teacher, chain.teacher).stderr
    assert "no key in common" in one_line_error(distill("recipe", "diff", chain.teacher, chain.student))
    assert "no run, no Bundle and no recipe" in one_line_error(distill("recipe", "diff", "defaults", "none"))


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("teacher.epoch=3", "unknown key 'epoch'; did you mean epochs?"),
        ("epochs=3", "did you mean teacher.epochs or student.epochs or finetune.epochs?"),
        ("techer.epochs=3", "unknown key 'techer'; did you mean teacher?"),
        ("teacher.zzz=3", "unknown key 'zzz'; expected asymmetric, "),
    ],
)
def test_an_unknown_key_suggests_the_nearest(override: str, hint: str) -> None:
    words = ("train-teacher", "--data", "x", "--out", "y", "--set", override)
    assert hint in one_line_error(distill(*words))


def test_tab_completes_commands_keys_and_values_and_leaves_paths_to_the_shell() -> None:
    assert sorted(completed("tr")) == ["train-student", "train-teacher"]
    assert "teacher.epochs" in completed("train-teacher", "--set", "teacher.e")
    assert completed("train-teacher", "--set", "teacher.optimizer=") == [
        "teacher.optimizer=nadam",
        "teacher.optimizer=adamw",
    ]
    assert completed("recipe", "show", "finetune.s") == ["finetune.seed"]
    shell = ShellComplete(main, {}, "distill", "_DISTILL_COMPLETE")
    for words in (["predict"], ["evaluate"], ["data", "check"], ["train-teacher", "--data"], ["split"]):
        assert [item.type for item in shell.get_completions(words, "")] in (["file"], ["dir"])


def test_groups_of_any_name_are_shown_as_a_recipe_that_can_be_read(tmp_path: Path) -> None:
    """A space made it no TOML, and a dot another tree."""
    tree = {"labels": {"groups": {"my group": ["a", "b"], "a.b": ["c\x7f", "d"]}}, "data": {"cut": None}}
    (tmp_path / "shown.toml").write_text(to_toml(tree), encoding="utf-8")
    assert read_toml(tmp_path / "shown.toml") == {"labels": tree["labels"]}
