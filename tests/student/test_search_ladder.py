"""Which candidates a ladder has: families, every combination of their values, and the default one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import static_library

from distill.core.errors import RecipeError
from distill.core.settings.recipe import Recipe
from distill.core.settings.recipe_text import changes_to_toml
from student.search.ladder import (
    MAX_CANDIDATES,
    candidates_of,
    default_ladder,
    ladder_of,
    parse_family,
    prunable_layers,
    read_ladder,
)

BASE = Recipe.load()


def names(families: dict[str, Any], base: Recipe = BASE) -> list[str]:
    return [candidate.name for candidate in candidates_of(families, base)]


def refusal(families: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as caught:
        candidates_of(families, BASE)
    return str(caught.value)


def test_a_list_stands_for_each_of_its_values_and_names_say_which() -> None:
    words = ["student.text.layers=[3,2]", "student.image.size=[128,96]", "student.head.dropout=0.3"]
    some = candidates_of({"bert": parse_family(words)}, BASE)
    assert [each.name for each in some] == [
        f"bert-layers-{layers}-size-{size}" for layers in (3, 2) for size in (128, 96)
    ]
    last = some[-1].recipe.student
    assert (last.text.layers, last.image.size, last.head.dropout) == (2, 96, 0.3)
    assert some[-1].settings == {
        "student.head.dropout": 0.3,
        "student.text.layers": 2,
        "student.image.size": 96,
    }
    assert all(each.config.out_of_fold for each in some)


def test_a_file_has_a_table_for_each_family(tmp_path: Path) -> None:
    file = tmp_path / "ladder.toml"
    file.write_text(
        "[bert]\nstudent.text.layers = [6, 3]\n"
        '[static]\nprecision = ["int8", "int4"]\nstudent.text.model = "static:some/encoder"\n'
    )
    some = ladder_of(file, {"one": {"student.text.layers": 1}}, BASE)
    assert [(each.name, each.precision) for each in some] == [
        ("bert-layers-6", "int8"),
        ("bert-layers-3", "int8"),
        ("static-precision-int8", "int8"),
        ("static-precision-int4", "int4"),
        ("one", "int8"),
    ]
    assert some[2].config == some[3].config
    with pytest.raises(RecipeError, match="has a family bert too; give --try bert another name"):
        ladder_of(file, {"bert": {}}, BASE)


def test_values_that_are_paths_are_named_by_what_stands_last_and_equal_ends_by_two_parts() -> None:
    models = {"student.text.model": ["hub/minilm", "/a/b.c/"], "student.image.model": ["mobilenet_v2"]}
    assert names({"x": models}) == [
        "x-text-model-minilm-image-model-mobilenet_v2",
        "x-text-model-b-c-image-model-mobilenet_v2",
    ]


def test_what_cannot_be_is_one_line_with_the_family_and_the_key(tmp_path: Path) -> None:
    assert refusal({"a": {"student.text.layrs": 3}}) == "a: unknown key 'layrs'; did you mean layers?"
    assert "a: recipe.student.text.layers must be of type int; got 'x'" in refusal(
        {"a": {"student.text.layers": "x"}}
    )
    assert "a: teacher.epochs is the same for all candidates" in refusal({"a": {"teacher.epochs": 3}})
    assert "a: student.threshold_objective is the same" in refusal({"a": {"student.threshold_objective": "micro"}})
    assert "'a b' cannot name a family" in refusal({"a b": {}})
    assert "'a-fp32' cannot name a family" in refusal({"a-fp32": {}})  # the parent of a's Bundle
    assert "a: student.text.layers is an empty list" in refusal({"a": {"student.text.layers": []}})
    assert "precision must be one of int8, int4; got 'fp32'" in refusal({"a": {"precision": "fp32"}})
    assert refusal({"a": {}, "b": {"student.text.layers": 0}}) == "a and b are the same student; leave one out"
    many = {"student.text.vocab_size": list(range(1000, 1000 + MAX_CANDIDATES + 1))}
    assert f"more than {MAX_CANDIDATES} candidates" in refusal({"a": many})
    for text, said in (("x = 3\n", "x is a value, not a table"), ("", "has no candidates")):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(RecipeError, match=said):
            read_ladder(tmp_path / "bad.toml")


def test_the_default_ladder_takes_layers_pixels_and_words_away_and_tries_static_vectors() -> None:
    whole = names(default_ladder(BASE, 6, with_static=True))
    texts = [f"text-layers-{layers}-size-{size}" for layers in (6, 4, 3, 2, 1) for size in (224, 160, 128)]
    pruned = [f"pruned-layers-{layers}" for layers in (6, 4, 3, 2, 1)]
    assert whole == [*texts, *pruned, "static-size-224", "static-size-160", "static-size-128"]
    config = candidates_of(default_ladder(BASE, 6, with_static=True), BASE)[-1].config
    assert (config.head_start, config.head.hidden_size) == ("probe", 0)
    static = config.text
    assert (static.model, static.layers, static.pooling) == ("static:distilbert-base-uncased", 0, "mean")
    small = replace(BASE.student, image=replace(BASE.student.image, size=128))
    assert names(default_ladder(replace(BASE, student=small), 2, False)) == [
        "text-layers-2-size-128",
        "text-layers-1-size-128",
        "pruned-layers-2",
        "pruned-layers-1",
    ]
    assert names(default_ladder(BASE, 0, False)) == [f"text-size-{size}" for size in (224, 160, 128)]


def test_what_a_student_of_one_modality_does_not_read_is_not_varied() -> None:
    texts, images = (
        Recipe.load(None, [f"student.head.modalities={reads}", "student.text.ngrams=off"])
        for reads in ("text", "image")
    )
    whole = names(default_ladder(texts, 2, with_static=True), texts)
    assert whole == [
        "text-layers-2-size-224",
        "text-layers-1-size-224",
        "pruned-layers-2",
        "pruned-layers-1",
        "static-size-224",
    ]
    assert names(default_ladder(images, 2, with_static=True), images) == [
        "text-size-224",
        "text-size-160",
        "text-size-128",
    ]


def test_without_candidates_they_come_from_the_recipe_and_say_what_static_vectors_need(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = prunable_layers(recipe.student.text)
    assert layers > 1
    monkeypatch.setattr("student.search.ladder.find_spec", lambda name: None)
    plain = [each.name for each in ladder_of(None, {}, recipe)]
    assert plain == names(default_ladder(recipe, layers, False), recipe)
    assert "pip install 'distill[static]'" in capsys.readouterr().err
    static_library.install(monkeypatch)
    monkeypatch.setattr("student.search.ladder.find_spec", lambda name: object())
    assert [each.name for each in ladder_of(None, {}, recipe)][-1].startswith("static")


def test_a_candidates_recipe_written_down_is_read_as_it_was(tmp_path: Path) -> None:
    (candidate,) = candidates_of({"a": {"student.text.layers": 3, "export.convolutions": "float"}}, BASE)
    (tmp_path / "best.toml").write_text(changes_to_toml(candidate.whole_recipe))
    read = Recipe.load(tmp_path / "best.toml")
    assert read == candidate.whole_recipe
    assert (read.student.text.layers, read.student.out_of_fold, read.export.convolutions) == (3, True, "float")
