"""Recipes: defaults, layers over them, and what each refusal says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from distill.core.errors import RecipeError
from distill.core.settings.recipe import Recipe, recipes_folder
from distill.core.settings.unread import unread_in_export


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
    assert (teacher.learning_rate, teacher.batch_size, teacher.constant_epochs) == (3e-5, 16, 1)


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
        ("teacher.epochs=-1", "teacher.epochs must be 0 to 10,000"),
        ("teacher.learning_rate=nan", "must be a number; got nan"),
        ("teacher.monitor=f1", "must be one of balanced_ap, micro_ap, macro_ap, loss; got 'f1'"),
        ("teacher.folds=1", "teacher.folds must be 0 or >= 2"),
        ("student.distill.temperature=0", "student.distill.temperature must be 0.01 to 1,000, got 0"),
        ("student.distill.soft_targets=-1", "student.distill.soft_targets must be 0 to 1,000,000, got -1"),
        ("student.text.layers=-1", "student.text.layers must be 0 to 1,000 (0 keeps all), got -1"),
        ("student.head.modality_dropout=0.5", "student.head.modality_dropout must be in [0, 0.5), got 0.5"),
        ("student.optimizer=sgd", "must be one of nadam, adamw; got 'sgd'"),
        ("finetune.epochs=0", "finetune.epochs must be 1 to 10,000, got 0"),
        ("student.head.dropout=1.0", "student.head.dropout must be in"),
        ("student.text.max_tokens=2", "student.text.max_tokens must be 4 to 32,768, got 2"),
        ("student.image.size=4", "student.image.size must be 16 to 1,024 pixels, got 4"),
        ("student.focal.gamma=-1", "student.focal.gamma must be 0 to 100, got -1"),
        ("teacher.augment.token_mask_rate=1.0", "teacher.augment.token_mask_rate must be in [0, 1), got 1.0"),
        ("student.augment.image_strength=2", "student.augment.image_strength must be 0 to 1, got 2.0"),
        ("teacher.augment.image_views=0", "teacher.augment.image_views must be 1 to 1,000, got 0"),
        ("export.min_int8_share=0", "export.min_int8_share must be in"),
        ("export.convolutions=maybe", "must be one of auto, int8, float"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_value(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(overrides=[override])
    assert message in str(caught.value)


@pytest.mark.parametrize("where", ["teacher", "student", "finetune", "export"])
def test_every_number_of_a_recipe_has_a_limit_that_refuses_what_is_beyond_it(where: str) -> None:
    names = [name for name, value in _leaves(asdict(Recipe.load()), "") if name.split(".")[0] == where]
    numbers = [name for name, value in _leaves(asdict(Recipe.load()), "") if type(value) in (int, float)]
    for name in set(names) & set(numbers):
        for value in (10**400, -(10**400), "1e308"):
            with pytest.raises(RecipeError, match=re.escape(name)) as caught:
                Recipe.load(overrides=[f"{name}={value}"])
            assert len(str(caught.value)) < 300


def _leaves(tree: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        path = f"{where}.{name}".lstrip(".")
        if isinstance(value, dict):
            yield from _leaves(value, path)
        else:
            yield path, value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.seed=4294967296", "teacher.seed must be 0 to 4,294,967,295, got 4294967296"),
        ("teacher.learning_rate=1e308", "teacher.learning_rate must be in (0, 100], got 1e+308"),
        ("student.head.hidden_size=1_000_000_000", "must be 0 to 65,536 (0 is a linear head), got 1000000000"),
        ("teacher.seed=" + "9" * 5000, "Exceeds the limit"),
        ("teacher.seed=0x" + "f" * 5000, "an integer of 20,000 bits"),
        ("teacher.epochs=" + "[" * 20_000, "nested too deep"),
        ("teacher.epochs=" + "{a=" * 20_000, "nested too deep"),
        ("teacher.epochs={" + "a." * 20_000 + "a=1}", "nested more than 64 deep"),
        ("teacher.epochs" + ".a" * 20_000 + "=1", "epochs is a value, not a table; got {'a': {'a': {'a': {...}}}}"),
        ("teacher" + ".a" * 20_000 + "=1", "unknown key 'a'"),
        ("x" * 50_000, "write it as key=value"),
        ("y" * 50_000 + "=1", "unknown key"),
        ("teacher.text.model=" + "z" * 5_000, "teacher.text.model has 5,000 characters"),
        ('teacher.text.model="a\\u0000b"', "holds a NUL character"),
        ('export.card.language="' + "\\u202e" * 900 + '"', "turns the direction of writing"),
    ],
)
def test_an_extreme_value_is_refused_in_one_short_line(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(overrides=[override])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "content",
    ["a = " + "[" * 20_000, "a = " + "9" * 5000, "[" + "a." * 20_000 + "b]\n", "a ." * 50_000],
    ids=["lists", "digits", "tables", "dotted keys, for which the parser takes quadratic time"],
)
def test_a_recipe_file_that_exhausts_the_parser_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"deep\.toml: ") as caught:
        Recipe.load(path)
    assert len(str(caught.value)) < 600


def test_a_recipe_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf[teacher]\nepochs = 3\n")
    assert Recipe.load(path).teacher.epochs == 3


def test_an_endless_recipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe, link, large = (tmp_path / name for name in ("pipe.toml", "link.toml", "large.toml"))
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with large.open("wb") as handle:
        handle.truncate(1 << 34)
    for path, reason in ((pipe, "not a plain file"), (link, "not a plain file"), (large, "has more than")):
        with pytest.raises(RecipeError, match=reason):
            Recipe.load(path)


def test_a_bad_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such file"):
        Recipe.load(tmp_path / "nowhere.toml")
    path = tmp_path / "bad.toml"
    path.write_text("[teacher\n")
    with pytest.raises(RecipeError, match=r"bad\.toml: not readable as TOML"):
        Recipe.load(path)


UNREAD = {
    "teacher.asymmetric.clip=0.1": "teacher.loss=focal",
    "teacher.focal.gamma=1 teacher.loss=asymmetric": "teacher.loss=asymmetric",
    "teacher.focal.alpha=0.5 teacher.class_weights=focal_alpha": "teacher.class_weights=focal_alpha takes it",
    "teacher.patience=9 teacher.epochs=0": "teacher.epochs=0 fits the head once",
    "student.patience=9 student.epochs=0": "student.epochs=0 fits the head once",
    "teacher.text.static_width=64": "teacher.text.model is no static: encoder",
    "teacher.text.pooling=cls teacher.text.ngrams=only": "teacher.text.ngrams=only has no encoder",
    "teacher.image.weights=x teacher.image.model=google/vit": "teacher.image.model is none of torchvision's",
    "teacher.augment.image_views=2": "teacher.augment.image_strength=0 changes no image",
    "teacher.augment.image_views=2 teacher.augment.image_strength=1 teacher.image.trainable=true": "sees new views",
    "student.augment.image_strength=1 student.head.modalities=text": "student.head.modalities=text reads no image",
    "student.learning_rate=1 student.text.model=static:x student.image.trainable=false": "head_learning_rate",
    "student.image.fit=crop student.head.modalities=text": "leaves that encoder out",
    "student.head.modality_dropout=0.3 student.head.modalities=text": "leaves one modality",
    "student.distill.temperature=3 student.distill.soft_targets=0": "student.distill.soft_targets=0",
    "export.calibration=minmax export.matmuls=dynamic export.convolutions=float": "calibrates nothing",
}


@pytest.mark.parametrize("words", UNREAD)
def test_a_setting_that_another_switches_off_is_warned_of(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked, *others = words.split()
    Recipe.load(None, others)
    assert "changes nothing" not in capsys.readouterr().err
    Recipe.load(None, [asked, *others])
    warned = " ".join(capsys.readouterr().err.split())
    assert f"{asked.partition('=')[0]} changes nothing: " in warned
    assert UNREAD[words] in warned
    assert warned.count("changes nothing") == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["teacher.head.modalities=image", "teacher.text.ngrams=off", "teacher.text.model=x"],  # both are looked at
        ["student.epochs=0", "student.decay_per_epoch=1"],  # a finetune-int8 of it reads the schedule
        {"teacher.loss": "asymmetric", "teacher.asymmetric.clip": 0.1},
        ["student.text.model=static:x", "student.learning_rate=1", "student.image.trainable=true"],
        ["export.calibration=minmax", "export.convolutions=float"],
    ],
)
def test_a_setting_that_is_read_is_not_warned_of(overrides: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Recipe.load(None, overrides)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "overrides",
    [
        {"teacher.asymmetric.clip": 0.1, "teacher.asymmetric.gamma_negative": 1},
        {"teacher": {"asymmetric": {"clip": 0.1, "gamma_negative": 1}}},
        ["teacher.asymmetric={clip=0.1, gamma_negative=1}"],
        [" teacher.asymmetric.clip = 0.1", "teacher.asymmetric.gamma_negative=1"],
    ],
)
def test_settings_are_known_however_they_are_written(overrides: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Recipe.load(None, overrides)
    warned = " ".join(capsys.readouterr().err.split())
    both = "teacher.asymmetric.clip, teacher.asymmetric.gamma_negative"
    assert warned == f"warning: {both} change nothing: teacher.loss=focal"


def test_a_setting_of_another_command_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    Recipe.load(None, {"teacher.epochs": 3, "student.epochs": 2, "labels.one_label": True}, ["student"])
    warned = " ".join(capsys.readouterr().err.split())
    assert warned == "warning: teacher.epochs changes nothing: this command reads student.*"


def test_of_a_file_what_differs_from_the_defaults_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[teacher.asymmetric]\nclip = 0.1\ngamma_positive = 2.0\n[student.image]\nsize = 128\n")
    only_text = ["student.head.modalities=text"]
    Recipe.load(path, only_text, ["teacher", "student"])
    warned = " ".join(capsys.readouterr().err.split())
    both = "teacher.asymmetric.clip, teacher.asymmetric.gamma_positive"
    assert f"{path}: {both} change nothing: teacher.loss=focal" in warned
    assert f"{path}: student.image.size changes nothing: student.head.modalities=text leaves" in warned
    Recipe.load(path, only_text, ["export"])  # a file is for all commands
    Recipe.load(path, (), ["teacher", "student"], varied=True)
    path.write_text((recipes_folder() / "meme.toml").read_text())
    Recipe.load(path, only_text)
    assert str(path) not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "runtime", "unread"),
    [
        ("fp32", "onnxruntime", {"max_f1_drop", "matmuls", "convolutions", "calibration", "allow_slower"}),
        ("int8", "onnxruntime", set()),
        ("int4", "onnxruntime", {"matmuls"}),
        ("int8", "openvino", {"matmuls", "calibration"}),
    ],
)
def test_an_export_says_what_its_precision_does_not_read(
    precision: str, runtime: str, unread: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        **{"matmuls": "dynamic", "convolutions": "int8", "calibration": "minmax"},
        **{"max_f1_drop": 0.5, "allow_slower": True},
    }
    more = unread_in_export(precision, runtime)
    Recipe.load(None, {f"export.{key}": value for key, value in given.items()}, ["export"], unread=more)
    warned = capsys.readouterr().err
    assert {key for key in given if f"export.{key}" in warned} == unread


@pytest.mark.parametrize("path", sorted(recipes_folder().glob("*.toml")), ids=lambda path: path.name)
def test_no_recipe_that_we_ship_sets_what_changes_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Recipe.load(path)
    assert not capsys.readouterr().err
