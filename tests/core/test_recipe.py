"""Recipes: defaults, layers over them, and what each refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.core.recipe import Recipe, recipes_folder


@pytest.mark.parametrize("path", sorted(recipes_folder().glob("*.toml")), ids=lambda path: path.name)
def test_every_recipe_that_we_ship_loads(path: Path) -> None:
    assert Recipe.load(path).teacher.epochs > 0


def test_the_default_recipe_is_the_source_systems() -> None:
    teacher = Recipe.load().teacher
    assert (teacher.text.model, teacher.image.model, teacher.image.trainable) == (
        "albert-base-v2",
        "resnet50",
        False,
    )
    assert (teacher.learning_rate, teacher.batch_size, teacher.constant_epochs) == (5e-6, 16, 10)


def test_overrides_lie_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[teacher]\nepochs = 7\nbatch_size = 4\n[teacher.text]\nmodel = 'x/y'\n")
    recipe = Recipe.load(
        path, ["teacher.epochs=9", "student.text.model=../some dir/m", "student.distill.temperature=4"]
    )
    assert (recipe.teacher.epochs, recipe.teacher.batch_size, recipe.teacher.text.model) == (9, 4, "x/y")
    assert recipe.student.text.model == "../some dir/m"
    assert recipe.student.distill.temperature == 4.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.epoch=3", "unknown key 'epoch'"),
        ("teacher=3", "expected a table, got 3"),
        ("teacher.epochs", "write it as key=value"),
        ("teacher.epochs=two", "recipe.teacher.epochs must be of type int; got 'two'"),
        ("teacher.epochs=true", "must be of type int; got True"),
        ("teacher.epochs=0", "teacher.epochs must be > 0, got 0"),
        ("teacher.learning_rate=nan", "must be a number; got nan"),
        ("teacher.monitor=f1", "must be one of balanced_ap, micro_ap, macro_ap, loss; got 'f1'"),
        ("teacher.folds=1", "teacher.folds must be 0 or >= 2"),
        ("student.distill.temperature=0", "student.distill.temperature must be > 0, got 0"),
        ("student.distill.soft_targets=-1", "student.distill.soft_targets must be >= 0, got -1"),
        ("student.text.layers=-1", "student.text.layers must be >= 0 (0 keeps all), got -1"),
        ("student.head.modality_dropout=0.5", "student.head.modality_dropout must be in [0, 0.5), got 0.5"),
        ("student.optimizer=sgd", "must be one of nadam, adamw; got 'sgd'"),
        ("finetune.epochs=0", "finetune.epochs must be >= 1, got 0"),
        ("student.head.dropout=1.0", "student.head.dropout must be in"),
        ("student.text.max_tokens=2", "student.text.max_tokens must be >= 4"),
        ("student.image.size=4", "student.image.size must be 16 to 1024"),
        ("student.focal.gamma=-1", "student.focal needs gamma >= 0"),
        ("teacher.augment.token_mask_rate=1.0", "teacher.augment.token_mask_rate must be in [0, 1), got 1.0"),
        ("student.augment.image_strength=2", "student.augment.image_strength must be in [0, 1], got 2.0"),
        ("teacher.augment.image_views=0", "teacher.augment.image_views must be >= 1, got 0"),
        ("export.min_int8_share=0", "export.min_int8_share must be in"),
        ("export.convolutions=maybe", "must be one of auto, int8, float"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_value(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(overrides=[override])
    assert message in str(caught.value)


def test_a_bad_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such recipe file"):
        Recipe.load(tmp_path / "nowhere.toml")
    path = tmp_path / "bad.toml"
    path.write_text("[teacher\n")
    with pytest.raises(RecipeError, match=r"bad\.toml: not readable as TOML"):
        Recipe.load(path)
