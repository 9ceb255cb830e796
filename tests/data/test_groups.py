"""Labels that exclude each other: what a row must say, and what is refused with its file and row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.core.errors import DataError, RecipeError
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import Recipe
from distill.data.dataset import Splits, encode_targets, read_examples, read_splits
from distill.data.examples import Example
from distill.data.groups import AskedGroups, LabelGroup
from distill.data.labels import LabelSet
from distill.data.roles import Ask

DEGREE = LabelGroup("degree", ("mild", "strong", "none"))
ASKED = AskedGroups((DEGREE,))
ONE = AskedGroups(one_label=True)


def rows(folder: Path, labels: list[Any], suffix: str = "jsonl") -> Path:
    path = folder / f"train.{suffix}"
    path.write_text(
        "".join(json.dumps({"id": str(n), "text": "a b", "labels": x}) + "\n" for n, x in enumerate(labels))
    )
    return path


def splits(folder: Path, labels: list[Any], asked: AskedGroups) -> Splits:
    rows(folder, labels)
    (folder / "dev.jsonl").write_text((folder / "train.jsonl").read_text().replace('"id": "', '"id": "d'))
    return read_splits(folder, groups=asked)


def test_of_a_group_one_label_is_1_and_the_others_0(tmp_path: Path) -> None:
    read = splits(tmp_path, [["mild", "who"], ["strong"], ["none"]], ASKED)
    assert read.labels == LabelSet(("mild", "none", "strong", "who"), (DEGREE,))
    assert read.labels.group_columns == {"degree": (0, 2, 1)}
    assert encode_targets(read.train, read.labels).tolist() == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"mild": 1, "strong": None, "none": None, "who": 0}, [1, 0, 0, 0]),  # one is true: the others are not
        ({"mild": 0, "strong": None, "none": None, "who": 1}, [np.nan, np.nan, np.nan, 1]),  # which is not known
        ({"mild": None, "strong": None, "none": None, "who": 1}, [np.nan, np.nan, np.nan, 1]),
        ({"mild": 1, "strong": 0, "none": 0, "who": None}, [1, 0, 0, np.nan]),
        (None, [np.nan] * 4),
    ],
)
def test_unknown_labels_of_a_group_are_unknown_together(labels: Any, expected: list[float], tmp_path: Path) -> None:
    known = LabelSet(("mild", "strong", "none", "who"), (DEGREE,))
    examples = read_examples(rows(tmp_path, [labels, ["none"]]), Ask(labels=known))
    np.testing.assert_array_equal(encode_targets(examples, known)[0], np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(
    ("asked", "bad", "what"),
    [
        (
            ASKED,
            ["mild", "strong"],
            "row 2: has the labels 'mild' and 'strong', and exactly one of the group 'degree'",
        ),
        (
            ASKED,
            ["who"],
            "row 2: has none of them, and exactly one of the group 'degree' ('mild', 'strong', 'none') is",
        ),
        (
            ONE,
            ["mild", "who"],
            "row 2: has the labels 'mild' and 'who', and --one-label allows one; keep one of them",
        ),
        (ONE, [], "row 2: has no label, and --one-label allows one; name one, such as 'other', or write null"),
    ],
)
def test_a_row_with_two_labels_of_a_group_or_none_is_refused_by_file_and_row(
    asked: AskedGroups, bad: list[str], what: str, tmp_path: Path
) -> None:
    good: list[Any] = [["mild"], ["strong"], ["none"]]
    with pytest.raises(DataError) as caught:
        splits(tmp_path, [good[0], bad, *good[1:]], asked)
    assert str(caught.value).startswith(f"{tmp_path / 'train.jsonl'}: {what}")
    assert "\n" not in str(caught.value)


def test_how_to_name_rows_without_any_label_of_a_group_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="put a label such as 'no degree' into the group for such rows, or write null"
    ):
        splits(tmp_path, [["mild"], ["who"], ["strong", "none"]], ASKED)


def test_a_misspelt_label_of_a_group_is_told_before_the_rows_that_have_none_of_it(tmp_path: Path) -> None:
    asked = AskedGroups((LabelGroup("degree", ("mild", "stronk", "none")),))
    with pytest.raises(
        DataError, match=r"group 'degree': 'stronk' is not in the label set; did you mean 'strong'\?"
    ):
        splits(tmp_path, [["mild"], ["strong"], ["none"]], asked)


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        ((LabelGroup("g", ("a",)),), "group 'g' has 1 label"),
        ((LabelGroup("g", ("a", "b", "a")),), "label 'a' is in group 'g' twice"),
        ((LabelGroup("g", ("a", "b")), LabelGroup("h", ("b", "c"))), "label 'b' is in group 'h' and group 'g'"),
        ((LabelGroup("g", ("a", "x")),), "'x' is not in the label set; there are 'a', 'b', 'c'"),
        ((LabelGroup(" g", ("a", "b")),), "its name"),
        ((LabelGroup("g", ("a", "b")), LabelGroup("g", ("c", "d"))), "two groups have the same name"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups: tuple[LabelGroup, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        LabelSet(("a", "b", "c", "d") if "same name" in what else ("a", "b", "c"), groups)


@pytest.mark.parametrize("values", [("0", "1"), ("0", "1", "2"), ("no", "yes"), ("red", "green", "blue")])
def test_one_column_of_classes_becomes_one_group_of_all_labels(values: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("text,kind\n" + "".join(f"post {n},{values[n % len(values)]}\n" for n in range(24)))
    kind = Columns(labels=("kind",))
    read = read_splits(path, columns=kind, groups=ONE)
    assert read.labels.names == tuple(sorted(values))
    assert [group.labels for group in read.labels.groups] == [tuple(sorted(values))]
    assert (encode_targets(read.train, read.labels).sum(axis=1) == 1).all()
    again = read_splits(path, read.labels, columns=kind)  # as `evaluate` reads it for the run
    assert [example.labels for example in again.train] == [example.labels for example in read.train]


def test_one_label_alone_is_no_choice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--one-label: there is one label, 'hateful', and choosing takes two"):
        splits(tmp_path, [["hateful"], ["hateful"]], ONE)


def test_an_example_made_by_hand_is_held_to_the_groups_too() -> None:
    labels = LabelSet(("mild", "strong", "none"), (DEGREE,))
    with pytest.raises(DataError, match="example '7': has the labels 'mild' and 'none'"):
        encode_targets([Example("7", "text", None, ("mild", "none"))], labels)


def test_a_recipe_names_groups_and_set_adds_one(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[labels.groups]\n"how bad" = ["mild", "strong"]\n')
    recipe = Recipe.load(tmp_path / "own.toml", ['labels.groups.tone=["glad", "sad"]'])
    assert recipe.labels.groups == {"how bad": ("mild", "strong"), "tone": ("glad", "sad")}
    with pytest.raises(RecipeError, match="keep one of both"):
        Recipe.load(tmp_path / "own.toml", ["labels.one_label=true"])
    with pytest.raises(RecipeError, match=r"labels\.groups\.tone must be a list; got 'glad'"):
        Recipe.load(None, ["labels.groups.tone=glad"])
