"""Unlabelled rows: what is measured on, has labels or stands twice is not trained on, and is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from photos import photo

from distill.data.dataset import Example, Splits
from distill.data.labels import LabelSet
from distill.data.unlabelled import with_unlabelled

LONG = "the storm is near us"


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    for number in range(4):
        photo(number).save(tmp_path / f"{number}.png")
    train = [Example("t", LONG + " now", tmp_path / "0.png", ("a",))]
    dev = [Example("d", LONG, tmp_path / "1.png", ("a",)), Example("e", "so true", None, ("a",))]
    return Splits(LabelSet(("a",)), train, dev, [Example("f", "👍", None, ("a",))])


def kept(tmp_path: Path, splits: Splits, *rows: dict[str, str]) -> list[str]:
    path = tmp_path / "more.jsonl"
    path.write_text("".join(json.dumps({"id": str(n)} | row) + "\n" for n, row in enumerate(rows)))
    return [example.id for example in with_unlabelled(splits, path).unlabelled]


def test_rows_with_the_text_or_the_image_of_a_dev_or_test_row_are_left_out_and_counted(
    tmp_path: Path, splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(1, (300, 200)).save(tmp_path / "again.png")
    rows = [
        {"text": "The storm -- is near us!"},
        {"text": "other words", "image": "1.png"},
        {"text": "other words", "image": "again.png"},
        {"text": "So true!"},
        {"text": "👍"},
    ]
    assert kept(tmp_path, splits, *rows, {"text": "new"}) == ["5"]
    warning = "more.jsonl: 5 of 6 unlabelled rows are left out: 5 have the text or the image of a dev or test row"
    assert warning in capsys.readouterr().err


def test_few_words_and_what_stands_in_train_alone_are_no_reason_to_leave_a_row_out(
    tmp_path: Path, splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "so true", "image": "2.png"}, {"text": LONG + " now"}, {"text": "😂"}, {"image": "0.png"}]
    assert kept(tmp_path, splits, *rows) == ["0", "1", "2", "3"]
    assert "left out" not in capsys.readouterr().err


def test_labelled_and_repeated_rows_are_counted_apart(
    tmp_path: Path, splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept(tmp_path, splits, {"text": LONG + " now", "image": "0.png"}, {"text": "x"}, {"text": "x"}) == ["1"]
    assert "2 of 3 unlabelled rows are left out: 1 are in train, 1 repeat another" in capsys.readouterr().err
