"""Labels that may be several in one cell: what separates them, and names that hold what may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.convert import convert
from distill.data.dataset import read_examples, read_splits
from distill.data.dividing.split_file import split_file

NAMES = [
    "center-left",
    "center",
    "left",
    "science fiction",
    "science",
    "fiction",
    "Arts & Crafts",
    "Arts",
    "Crafts",
]


def folder(path: Path, cells: list[Any]) -> Path:
    for split in ("train", "dev"):
        rows = [{"id": f"{split}{n}", "text": f"{split} word {n}", "labels": cell} for n, cell in enumerate(cells)]
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("as_text", [False, True])
def test_a_name_in_a_list_is_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], as_text: bool) -> None:
    cells = [str([name]) if as_text else [name] for name in NAMES]
    assert read_splits(folder(tmp_path, cells)).labels.names == tuple(sorted(NAMES))
    assert "several" not in capsys.readouterr().err


def test_a_name_in_a_list_that_is_others_with_a_comma_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_splits(folder(tmp_path, [["sad, glad"], ["sad"], ["glad"], ["mad, sad"]]))
    assert "'sad, glad' may be several labels" in capsys.readouterr().err


def test_names_that_stand_alone_in_some_cells_keep_the_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_splits(folder(tmp_path, ["center-left", ["center"], ["left"]]))
    assert "'center-left' may be several labels" in capsys.readouterr().err


def cells_of(path: Path, cells: list[str]) -> list[tuple[str, ...] | None]:
    path.write_text("text,labels\n" + "".join(f'word {n},"{cell}"\n' for n, cell in enumerate(cells)))
    return [example.labels for example in read_examples(path)]


@pytest.mark.parametrize(
    "cells", [["a/a", "a", "b"], ["+/-", "+", "-", "none"], ["24/7", "24", "7", "day", "week"]]
)
def test_a_sign_between_parts_that_repeat_or_are_no_words_is_part_of_a_name(
    tmp_path: Path, cells: list[str]
) -> None:
    assert cells_of(tmp_path / "a.csv", cells) == [(cell,) for cell in cells]


@pytest.mark.parametrize(
    "cells", [["1/2", "2/1", "1", "2"], ["1 2", "1", "2", "other", "none"], ["😀 😢", "😀", "😢"]]
)
def test_a_sign_between_codes_or_emoji_stays_suspected(tmp_path: Path, cells: list[str]) -> None:
    with pytest.raises(DataError, match=f"holds '{cells[0]}', and its parts as labels too"):
        cells_of(tmp_path / "a.csv", cells)


def test_a_comma_is_proven_by_parts_with_other_companions_and_in_other_rows(tmp_path: Path) -> None:
    cells = ["some harm, group", "some harm, person", "much harm, group"]
    assert cells_of(tmp_path / "a.csv", ["no harm", *cells * 9])[:2] == [("no harm",), ("some harm", "group")]
    with pytest.raises(DataError, match="if a comma stands between labels"):
        cells_of(tmp_path / "a.csv", cells)  # two parts in one row alone


@pytest.mark.parametrize(
    "cells", [["war, crime", "drug, crime"], ["war, crime", "crime"], ["a, b", "b, c", "d, e"], ["war, crime"]]
)
def test_a_comma_in_names_that_share_one_word_or_none_is_not_taken_for_a_separator(
    tmp_path: Path, cells: list[str]
) -> None:
    with pytest.raises(DataError, match="if a comma stands between labels"):
        cells_of(tmp_path / "a.csv", cells * 9)


def test_columns_of_labels_are_one_label_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.csv").write_text("text,left,center,center-left\na,1,0,0\nb,0,1,0\nc,0,0,1\n")
    (tmp_path / "dev.csv").write_text("text,left,center,center-left\nd,1,0,0\ne,0,1,1\n")
    read_splits(tmp_path, columns=Columns(labels=("left", "center", "center-left")))
    assert "several" not in capsys.readouterr().err


def test_split_and_convert_take_a_name_in_a_list_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder(tmp_path, [[name] for name in NAMES * 3]) / "train.jsonl"
    split_file(file, tmp_path / "split", seed=0)
    convert(file, tmp_path / "converted", "jsonl")
    assert "several" not in capsys.readouterr().err
