"""Numbers in place of the names of labels: which they count, and where nobody has said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.dataset import Example, Splits, read_examples, read_splits
from distill.data.groups import AskedGroups
from distill.data.labels import LabelSet
from distill.data.roles import Ask

TRAIN = ["sad", "glad", "mad"] * 2


def write(path: Path, cells: list[Any]) -> Path:
    rows = [{"id": f"{path.stem}{n}", "text": f"word {n}", "labels": cell} for n, cell in enumerate(cells)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(path: Path, cells: list[str]) -> Path:
    path.write_text("id,text,labels\n" + "".join(f'{n},word {n},"{cell}"\n' for n, cell in enumerate(cells)))
    return path


def splits(folder: Path, train: list[Any], dev: list[Any], labels: str = "", one_label: bool = False) -> Splits:
    write(folder / "train.jsonl", train)
    write(folder / "dev.jsonl", dev)
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels.split()))
    return read_splits(folder, groups=AskedGroups(one_label=one_label))


def labels_of(examples: list[Example]) -> list[tuple[str, ...] | None]:
    return [example.labels for example in examples]


@pytest.mark.parametrize("dev", [[0, 1, 2], [0, 1, 0], [[0, 1], [2]], [[1, 0, 0]], ["[0, 1]"], ["1 0 0", "0 0 1"]])
def test_numbers_in_a_split_count_no_labels_whose_order_nobody_has_given(tmp_path: Path, dev: list[Any]) -> None:
    with pytest.raises(
        DataError, match=r"dev\.jsonl: column 'labels' holds .*train\.jsonl are 'glad', 'mad', 'sad'"
    ):
        splits(tmp_path, TRAIN, dev)


def test_labels_txt_gives_the_order_that_numbers_count(tmp_path: Path) -> None:
    assert labels_of(splits(tmp_path, TRAIN, [0, 1, 2], "sad glad mad").dev) == [("sad",), ("glad",), ("mad",)]


def test_a_bundle_gives_the_order_that_numbers_count(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", TRAIN)
    write(tmp_path / "dev.jsonl", [0, 1, 2])
    read = read_splits(tmp_path, LabelSet(("sad", "glad", "mad")))
    assert labels_of(read.dev) == [("sad",), ("glad",), ("mad",)]


def test_two_names_of_train_are_not_counted_by_0_and_1(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="whose order nobody has given"):
        splits(tmp_path, ["hate", "none_"] * 2, [0, 1])
    with pytest.raises(DataError, match="whose order nobody has given"):
        splits(tmp_path, ["hate", "none_"] * 2, [0, 1], one_label=True)


def test_numbers_that_are_names_in_train_are_the_same_names_in_dev(tmp_path: Path) -> None:
    assert labels_of(splits(tmp_path, [1, 2, 3] * 2, [1, 1]).dev) == [("1",), ("1",)]
    dev = splits(tmp_path, [1, 2, 3] * 2, [0, 1, 2]).dev  # 0 is reported as no label of train's, and not read as 1
    assert labels_of(dev) == [("0",), ("1",), ("2",)]


def test_words_that_are_labels_of_train_are_no_flags_in_dev(tmp_path: Path) -> None:
    assert labels_of(splits(tmp_path, ["yes", "no", "maybe"] * 2, ["yes", "no"]).dev) == [("yes",), ("no",)]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[0, 1, 1], [0, 0, 1]], r"holds \[0, 1, 1\] and the like, 3 times 0 or 1, and there are 4 labels"),
        ([[0, 1, 1, 0, 0]], "5 times 0 or 1, and there are 4 labels"),
        ([[True, False, True]], "3 times 0 or 1, and there are 4 labels"),
        ([[0, 1], [1, 0]], "2 times 0 or 1, and there are 4 labels"),
        ([[2, 3], [1, 0, 1]], r"row 2: labels holds \[1, 0, 1\], which repeats a number"),
        ([[2, 3], [True, False]], r"row 2: labels holds \[True, False\], 2 values with true and false"),
        ([[2], ["sad", 1]], r"row 2: labels holds \['sad', 1\], names beside numbers"),
    ],
)
def test_a_list_that_is_no_list_of_label_numbers_is_refused(tmp_path: Path, cells: list[Any], message: str) -> None:
    labels = LabelSet(("sad", "glad", "mad", "bad"))
    with pytest.raises(DataError, match=message):
        read_examples(write(tmp_path / "a.jsonl", cells), Ask(labels=labels))


def test_of_one_label_a_list_with_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: labels holds \[0\], a 1 for the label or its number"):
        read_examples(write(tmp_path / "a.jsonl", [[0]]), Ask(labels=LabelSet(("sad",))))


def test_lists_of_label_numbers_stay_what_they_are_and_are_said_to_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = LabelSet(("sad", "glad", "mad", "bad"))
    rows = read_examples(write(tmp_path / "a.jsonl", [[0], [1], [0, 1], [], [1, 1, 0, 0]]), Ask(labels=labels))
    assert labels_of(rows) == [("sad",), ("glad",), ("sad", "glad"), (), ("sad", "glad")]
    said = " ".join(capsys.readouterr().err.split())
    assert "numbers in the lists of column 'labels' count the 4 labels, from 0" in said
    names = LabelSet(("3", "7"))
    assert labels_of(read_examples(write(tmp_path / "b.jsonl", [[7], [3, 7]]), Ask(labels=names)))[0] == ("7",)
    said = " ".join(capsys.readouterr().err.split())
    assert "numbers in the lists of column 'labels' are names of labels" in said


@pytest.mark.parametrize("cells", [["1,0,1", "0,0,0", ""], ["1 0 1", "0 0 0", ""], ["101", "000", ""]])
def test_a_string_of_0_and_1_is_read_by_the_lines_of_labels_txt_or_refused(
    tmp_path: Path, cells: list[str]
) -> None:
    path, labels = table(tmp_path / "a.csv", cells), LabelSet(("sad", "glad", "mad"))
    if cells[0] != "101":
        with pytest.raises(
            DataError, match=r"look like 0 or 1 for each of 3 labels; name them in labels\.txt, a line"
        ):
            read_examples(path)
    assert labels_of(read_examples(path, Ask(labels=labels))) == [("sad", "mad"), (), ()]
    with pytest.raises(DataError, match=r"look like 0 or 1 for each of 3 labels; .* which lists 2"):
        read_examples(path, Ask(labels=LabelSet(("sad", "glad"))))


def test_codes_joined_by_a_separator_are_labels(tmp_path: Path) -> None:
    assert labels_of(read_examples(table(tmp_path / "a.csv", ["0|2", "1|0"]))) == [("0", "2"), ("1", "0")]
    said = Ask(Columns(separator="|"))
    assert labels_of(read_examples(table(tmp_path / "a.csv", ["0|1", "1|0"]), said)) == [("0", "1"), ("1", "0")]


def test_numbers_with_zeros_before_them_are_not_merged(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ["007", "7", "8"])
    with pytest.raises(DataError, match="holds '007' and '7', which are one number"):
        read_examples(path)
    names = ("007", "7", "8")
    assert labels_of(read_examples(path, Ask(labels=LabelSet(names)))) == [("007",), ("7",), ("8",)]
    padded = read_examples(table(tmp_path / "b.csv", ["01", "02"]), Ask(labels=LabelSet(("01", "02"))))
    assert labels_of(padded) == [("01",), ("02",)]
