"""Numbers that are names of labels, as labels.txt or the training rows list them, and numbers that count labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.dataset import read_examples, read_splits
from distill.data.labels import LabelSet
from distill.data.roles import Ask

Labels = list[tuple[str, ...] | None]


def table(path: Path, cells: list[Any], column: str = "label") -> Path:
    path.write_text(f"text,{column}\n" + "".join(f'word {n},"{cell}"\n' for n, cell in enumerate(cells)))
    return path


def read(path: Path, cells: list[Any], labels: str, column: str = "label") -> Labels:
    """The labels of a file of these cells, where labels.txt lists those that are given."""
    if path.suffix == ".csv":
        table(path, cells, column)
    else:
        rows = [{"text": f"word {n}", column: cell} for n, cell in enumerate(cells)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = Ask(Columns(labels=(column,)), labels=LabelSet(tuple(labels.split())))
    return [example.labels for example in read_examples(path, ask)]


@pytest.mark.parametrize("file", ["a.csv", "a.jsonl"])
def test_a_file_of_the_classes_0_and_1_alone_counts_three_labels_too(tmp_path: Path, file: str) -> None:
    assert read(tmp_path / file, [1, 0], "neg neu pos") == [("neu",), ("neg",)]
    assert read(tmp_path / file, [0, 0], "neg neu pos") == [("neg",), ("neg",)]


def test_0_and_1_in_the_column_of_a_label_are_that_label(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", [1, 0], "neg neu pos", column="neu") == [("neu",), ()]
    assert read(tmp_path / "a.csv", [1, 0], "hateful") == [("hateful",), ()]


@pytest.mark.parametrize("file", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["2.0", "1.0"], "1.0 2.0 3.0"),
        (["1.0", "1.0"], "1.0 2.0 3.0"),
        (["3.10", "3.9"], "3.10 3.9"),
        (["401.9", "250.0"], "250.0 401.9"),
        (["0.5", "0", "1"], "0 0.5 1"),
        (["-1", "0", "1"], "-1 0 1"),
        (["-2", "2"], "-2 -1 0 1 2"),
    ],
)
def test_numbers_that_are_listed_as_they_are_written_are_names(
    tmp_path: Path, file: str, cells: list[str], labels: str
) -> None:
    assert read(tmp_path / file, cells, labels) == [(cell,) for cell in cells]


def test_whole_numbers_are_the_listed_ones_however_they_are_written(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", ["2", "1"], "1.0 2.0 3.0") == [("2.0",), ("1.0",)]
    assert read(tmp_path / "a.jsonl", [2.0, -1.0], "-1 1 2") == [("2",), ("-1",)]


def test_minus_1_is_unknown_where_it_is_no_listed_name(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", ["0.5", "1", "-1"], "0 0.5 1") == [("0.5",), ("1",), None]


@pytest.mark.parametrize(
    ("cells", "labels", "strange"), [(["3.10", "3.8"], "3.10 3.9", "3.8"), (["-1", "0", "2"], "-1 0 1", "2")]
)
def test_a_number_beside_listed_ones_that_count_nothing_is_refused(
    tmp_path: Path, cells: list[str], labels: str, strange: str
) -> None:
    with pytest.raises(DataError, match=rf"holds '{strange}', which is none of the labels '{labels.split()[0]}'"):
        read(tmp_path / "a.csv", cells, labels)


def test_floats_are_the_classes_of_train_in_a_split_of_1_alone(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["3.0", "1.0", ""])
    table(tmp_path / "dev.csv", ["1.0", "1.0"])
    assert [example.labels for example in read_splits(tmp_path).dev] == [("1",), ("1",)]


@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_in_lists_are_the_listed_names(tmp_path: Path, as_text: bool) -> None:
    def listed(cells: list[Any], labels: str) -> Labels:
        return read(tmp_path / "a.jsonl", [str(cell) if as_text else cell for cell in cells], labels)

    assert listed([[1, 2], [3], []], "1 2 3 4 5") == [("1", "2"), ("3",), ()]
    assert listed([[2019]], "2019") == [("2019",)]
    assert listed([[0], [0, 1]], "0 1") == [("0",), ("0", "1")]
    assert listed([[-1, 0.5]], "-1 0 0.5 1") == [("-1", "0.5")]


def test_numbers_in_lists_count_the_labels_where_one_is_no_listed_name(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", [[0, 2], [1]], "1 2 3") == [("1", "3"), ("2",)]
    assert read(tmp_path / "a.jsonl", [[1, 1, 0], [0, 1, 0]], "0 1 2") == [("0", "1"), ("1",)]  # 0 or 1 for each


def test_lists_of_numbers_in_a_split_are_the_names_of_train(tmp_path: Path) -> None:
    for split, cells in (("train", [["1", "2"], ["3"]]), ("dev", [[1, 2], [3]])):
        rows = [{"text": f"{split} {n}", "labels": cell} for n, cell in enumerate(cells)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [example.labels for example in read_splits(tmp_path).dev] == [("1", "2"), ("3",)]


@pytest.mark.parametrize(("train", "dev"), [([0, 1, 2], [1, 2]), ([[0, 2], [1]], [[1], [2]]), ([1, 2], [0, 2])])
def test_numbers_that_are_names_in_one_split_and_counts_in_another_are_refused(
    tmp_path: Path, train: list[Any], dev: list[Any]
) -> None:
    (tmp_path / "labels.txt").write_text("1\n2\n3\n")
    for split, cells in (("train", train), ("dev", dev)):
        rows = [{"text": f"{split} {n}", "labels": cell} for n, cell in enumerate(cells)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"dev\.jsonl: the numbers in place of names would be .*train\.jsonl are"):
        read_splits(tmp_path)


def test_a_test_split_of_secret_classes_goes_with_classes(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("neg\nneu\npos\n")
    for split, cells in (("train", [2, 0, 1]), ("dev", [1, 0]), ("test", [-1, -1])):
        table(tmp_path / f"{split}.csv", cells)
    assert [example.labels for example in read_splits(tmp_path).test] == [None, None]
