"""Rows to be labelled: which of them carry a label already."""

from __future__ import annotations

from typing import Any

import pytest

from distill.data.columns import Columns
from distill.data.labelling.carried import carries_label
from distill.data.labels import LabelSet

LABELS = LabelSet(("glad", "sad"))


@pytest.mark.parametrize(
    "row",
    [
        {"labels": ["sad"]},
        {"labels": "Sad"},
        {"label": "war|glad"},
        {"label": "war\nglad"},
        {"tags": "['sad', 'war']"},
        {"labels": {"sad": 0, "glad": None}},
        {"label": "0"},
        {"sad": 0},
    ],
)
def test_a_row_with_a_label_of_the_set_is_labelled(row: dict[str, Any]) -> None:
    assert carries_label({"id": "1", "text": "x"} | row, Columns(), LABELS)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"labels": ""},
        {"labels": []},
        {"labels": "[]"},
        {"labels": None},
        {"labels": "nan"},
        {"label": -1},
        {"labels": {"sad": None}},
        {"tags": "news, sport"},
        {"category": "3"},
        {"sad": 0.73},
    ],
)
def test_an_empty_cell_and_other_words_are_no_label(row: dict[str, Any]) -> None:
    assert not carries_label({"id": "1", "text": "sad"} | row, Columns(), LABELS)


def test_the_separator_that_is_said_stands_between_labels() -> None:
    row = {"labels": "sad / glad"}
    assert carries_label(row, Columns(separator="/"), LABELS)
    assert not carries_label(row, Columns(), LABELS)
    assert not carries_label({"category": "how sad it is"}, Columns(separator=" "), LABELS)


def test_the_columns_that_are_said_are_labels_whatever_they_hold() -> None:
    said = Columns(labels=("is_*",))
    assert carries_label({"is_war": "no", "labels": ""}, said, LABELS)
    assert not carries_label({"is_war": "", "labels": "sad"}, said, LABELS)
