"""Names of labels that are probably something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.dataset import Example, collect_labels, read_examples
from distill.data.labels import LabelSet
from distill.data.roles import Ask


def read(path: Path, cells: list[str], ask: Ask | None = None) -> list[tuple[str, ...] | None]:
    path.write_text("id,text,labels\n" + "".join(f'{n},word {n},"{cell}"\n' for n, cell in enumerate(cells)))
    return [example.labels for example in read_examples(path, ask)]


@pytest.mark.parametrize("numbers", [["0", "1"], ["1", "2", "3"], ["0.5", "2"]])
def test_a_word_among_numbers_is_refused_with_its_row(tmp_path: Path, numbers: list[str]) -> None:
    cells = [*numbers, *numbers, "?"]
    with pytest.raises(
        DataError, match=rf"row {len(cells)}: column 'labels' holds '\?', where {len(cells) - 1} rows"
    ):
        read(tmp_path / "a.csv", cells)


def test_words_and_numbers_that_labels_txt_lists_are_labels(tmp_path: Path) -> None:
    ask = Ask(labels=LabelSet(("1", "2", "other")))
    assert read(tmp_path / "a.csv", ["1", "2|1", "1", "other"], ask) == [("1",), ("2", "1"), ("1",), ("other",)]


def test_a_number_among_names_is_a_name(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", ["war", "love", "1984"]) == [("war",), ("love",), ("1984",)]


def test_a_rare_word_among_yes_and_no_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path / "a.csv", ["yes", "no"] * 10 + ["unsure"])[-1] == ("unsure",)
    assert "row 21: column 'labels' holds 'unsure', where nearly all rows hold no or yes" in capsys.readouterr().err
    read(tmp_path / "a.csv", ["true", "false", "half-true"] * 10)  # three classes, as in fact checking
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["sad#glad", "sad", "glad"], "if # stands between labels, give --label-separator '#'"),
        (["sad : glad", "sad", "glad"], "if : stands between labels, give --label-separator ':'"),
        (
            ["sad|glad", "sad;mad", "mad"],
            r"holds 'sad;mad', .*: \| stands between labels in other rows; write it in",
        ),
        (
            ["sad, glad", "sad", "glad", "sad/glad"],
            "a comma stands between labels in other rows; write it in all rows",
        ),
    ],
)
def test_a_label_that_consists_of_others_is_refused_with_what_joins_them(
    tmp_path: Path, cells: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.csv", cells)


def test_a_name_that_holds_another_is_a_name(tmp_path: Path) -> None:
    cells = ["a, b|c", "center-left", "center", "left", "Sci-Fi", "R&B"]
    assert read(tmp_path / "a.csv", cells)[1:] == [("center-left",), ("center",), ("left",), ("Sci-Fi",), ("R&B",)]


def test_labels_that_may_be_several_are_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def warning(*names: str) -> str:
        collect_labels([Example(name, "word", None, (name,)) for name in names], tmp_path)
        return capsys.readouterr().err

    assert "'sad, glad', 'sad|mad' may be several labels" in warning("sad, glad", "mad", "sad|mad")
    assert "'sad and glad' may be several labels" in warning("sad and glad", "glad", "sad")
    assert warning("Name calling, Labeling", "Doubt", "Loaded, emotional", "Sci-Fi", "very sad", "sad") == ""


def test_a_backslash_and_a_t_separate_labels_where_they_stand_in_the_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Ask(Columns(separator="\t"))
    assert read(tmp_path / "a.csv", ["sad\\tglad", "sad"], ask) == [("sad", "glad"), ("sad",)]
    assert read(tmp_path / "b.csv", ["sad\tglad", "sad"], ask) == [("sad", "glad"), ("sad",)]
    assert "a.csv: labels are separated by a backslash and a t" in capsys.readouterr().err


def test_a_separator_that_stands_in_no_cell_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path / "a.csv", ["sad;glad", "sad"], Ask(Columns(separator="#"))) == [("sad;glad",), ("sad",)]
    assert "none of them with the separator '#'" in capsys.readouterr().err


@pytest.mark.parametrize("cell", [' ""sad""', "'sad'", "'sad'|glad"])
def test_a_label_in_quotes_is_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="a label in quotes that are part of it; save the file with double quotes"):
        read(tmp_path / "a.csv", [cell, "mad"])


def test_a_null_beside_names_is_refused_and_a_list_of_nulls_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "labels": ["sad"]}\n{"text": "b", "labels": [null]}\n')
    assert [example.labels for example in read_examples(path)] == [("sad",), None]
    path.write_text('{"text": "a", "labels": ["sad"]}\n{"text": "b", "labels": ["sad", null]}\n')
    with pytest.raises(DataError, match=r"row 2: labels holds \['sad', None\], with a null that may be a label"):
        read_examples(path)
    with pytest.raises(DataError, match=r"row 1: labels holds \['sad', None\]"):
        read(tmp_path / "a.csv", ["['sad', nan]"])


def test_json_in_a_cell_may_hold_true_false_and_null(tmp_path: Path) -> None:
    cells = ['{""sad"": true, ""glad"": false}', '{""sad"": 1, ""glad"": null}', "{'sad': 0, 'glad': nan}"]
    assert read(tmp_path / "a.csv", cells) == [("sad",), ("sad",), ()]
    assert read_examples(tmp_path / "a.csv")[1].unknown_labels == ("glad",)


def test_an_error_of_excel_is_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path / "a.csv", ["sad", "#REF!", "#DIV/0!"]) == [("sad",), None, None]
    assert "'#REF!' and the like in place of labels are read as unknown" in capsys.readouterr().err
