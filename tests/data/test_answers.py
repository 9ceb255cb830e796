"""Files of answers: every form is read to the same numbers, and nothing is taken for what it is not."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.core.errors import ArgumentError, DataError
from distill.data.answers import MIN_PROBABILITY, AnswersFile, TeacherAnswers
from distill.data.dataset import Example, Splits
from distill.data.labels import LabelSet
from distill.data.teacher_sources import TeacherSources

LABELS = LabelSet(("fear", "irony, dry", "praise"))  # as a vote would say, with a comma in one
IDS = ("7", "meme-8")
VALUES = [[0.25, 0.75, 0.5], [0.125, None, 1.0]]


def read(path: Path, scale: Any = None, labels: LabelSet = LABELS) -> TeacherAnswers:
    return AnswersFile.open(path, scale).read(labels)


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, *rows: list[Any], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    return path


def wide_rows() -> list[dict[str, Any]]:
    """With the labels in another order than the dataset's."""
    pairs = zip(IDS, VALUES, strict=True)
    return [{"praise": c, "id": id_, "fear": a, "irony, dry": b} for id_, (a, b, c) in pairs]


def long_rows(value: str = "value") -> list[dict[str, Any]]:
    return [{"id": row["id"], "label": label, value: row[label]} for label in LABELS.names for row in wide_rows()]


def as_lists(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [list(rows[0]), *(["" if value is None else value for value in row.values()] for row in rows)]


def write_json(path: Path) -> Path:
    path.write_text(json.dumps(wide_rows()))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_npz(path: Path, **changes: Any) -> Path:
    arrays = {"ids": IDS, "labels": LABELS.names, "probabilities": np.array(VALUES, dtype=np.float64)} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def nested(key: str) -> list[dict[str, Any]]:
    return [{"id": row.pop("id"), key: row} for row in wide_rows()]


FORMS: dict[str, Callable[[Path], Path]] = {
    "wide.jsonl": lambda path: jsonl(path, *wide_rows()),
    "long.jsonl": lambda path: jsonl(path, *long_rows()),
    "named.jsonl": lambda path: jsonl(path, *long_rows("probability")),
    "nested.jsonl": lambda path: jsonl(path, *nested("answers")),
    "list.json": write_json,
    "wide.csv": lambda path: table(path, *as_lists(wide_rows()), encoding="utf-8-sig"),
    "semicolons.csv": lambda path: table(path, *as_lists(wide_rows()), delimiter=";"),
    "long.csv": lambda path: table(path, *as_lists(long_rows())),
    "wide.tsv": lambda path: table(path, *as_lists(wide_rows()), delimiter="\t"),
    "wide.parquet": lambda path: write_parquet(path, wide_rows()),
    "nested.parquet": lambda path: write_parquet(path, nested("probabilities")),
    "arrays.npz": write_npz,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_to_the_same_answers(name: str, tmp_path: Path) -> None:
    answers = read(FORMS[name](tmp_path / name))
    assert sorted(answers.row_of) == sorted(IDS)
    rows = [answers.row_of[id_] for id_ in IDS]
    assert np.array_equal(answers.values[rows], np.array(VALUES, dtype=np.float64), equal_nan=True)
    assert answers.scale == "probabilities"
    logits = answers.logits()[rows]
    assert np.isnan(logits[1, 1])
    assert logits[0] == pytest.approx([np.log(1 / 3), np.log(3), 0])
    assert logits[1, 2] == pytest.approx(np.log((1 - MIN_PROBABILITY) / MIN_PROBABILITY), rel=1e-4)


def test_predictions_of_a_bundle_are_answers(tmp_path: Path) -> None:
    rows = [{"id": "1", "labels": ["fear"], "probabilities": dict.fromkeys(LABELS.names, 0.5), "ocr_text": "hi"}]
    answers = read(jsonl(tmp_path / "a.jsonl", *rows, {"id": "2", "error": "no such image"}))
    assert list(answers.row_of) == ["1"]
    assert "probabilities of 3 labels for 1 ids; 1 more have none" in answers.describe()


def test_votes_of_annotators_are_averaged_and_counted(tmp_path: Path) -> None:
    columns = ["id", "annotator", *LABELS.names]
    votes = [["7", "ann", 1, 0, "true"], ["8", "ann", 0, 0, 0], ["7", "bob", 0, "", "False"], ["7", "cem", 1, 1, 1]]
    answers = read(table(tmp_path / "votes.csv", columns, *votes))
    assert answers.values[answers.row_of["7"]].tolist() == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert answers.votes[answers.row_of["7"]].tolist() == [3, 2, 3]
    assert "for 2 ids; 1 of them have 3 answers, and learn their mean" in answers.describe()
    with pytest.raises(DataError, match="row 5: a second answer of annotator 'ann' for id '7'; keep one"):
        read(table(tmp_path / "votes.csv", columns, *votes, ["7", "ann", 0, 0, 0]))


def one_row(**values: Any) -> list[dict[str, Any]]:
    return [{"id": "7", "fear": 0.1, "irony, dry": 0.2, "praise": 0.3} | values]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "7", "fear": 0.1, "irony, dry": 0.2}], "has no answers for the labels 'praise'; rename"),
        (one_row(sarcasm=0.2), "has answers for 'sarcasm', which the dataset has not; rename"),
        (
            [{"id": "7", "Fear": 1, "irony, dry": 0.2, "praise": 0}],
            "for the labels 'fear' and has answers for 'Fear'",
        ),
        (
            [*one_row(), {"id": "8", "fear": 0.1, "praise": 0}],
            "id '8' lacks the label 'irony, dry'; give it a value",
        ),
        (one_row(fear="high"), "row 1: 'fear': expected a finite number, or nothing .*; got 'high'"),
        (one_row(fear="0,5"), "got '0,5'"),
        (one_row(fear="1_0"), "got '1_0'"),
        (one_row(fear=float("inf")), "got inf"),
        (one_row(fear=10**400), "got an integer of"),
        (one_row(fear=[0.1]), r"got \[0.1\]"),
        ([{"fear": 0.1}], "row 1: has no 'id'; it has 'fear'"),
        (one_row(id=7.5), "id must be a string or a whole number; got 7.5"),
        ([["7", 0.1]], "row 1: expected an object with id"),
        ([{"id": "7", "answers": [0.1, 0.2, 0.3]}], "answers must be an object of labels and values; got"),
        ([{"id": "7", "answers": {}, "model": "x"}], "expected id and 'answers' alone; it has 'answers', 'model'"),
        ([{"id": "7", "label": "fear", "value": 1, "by": "x"}], "expected id, label and value alone"),
        ([{"id": "7", "labels": ["fear"], "text": "hello"}], "has no answers for the labels 'fear', 'irony, dry'"),
        ([{"id": "7", "answers": dict.fromkeys(LABELS.names)}], "holds no answer"),
        ([], "has no rows"),
        (
            [
                {"id": "7", "logits": dict.fromkeys(LABELS.names, 0)},
                {"id": "8", "probabilities": dict.fromkeys(LABELS.names, 1)},
            ],
            "said to hold both probabilities and logits",
        ),
    ],
)
def test_what_is_ill_formed_is_refused_by_name(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(jsonl(tmp_path / "a.jsonl", *rows))
    assert "a.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.1, 0.9, 1.0], "probabilities"),
        ([0, 1, 1], "probabilities"),
        ([-3.5, 0.2, 4.0], "logits"),
        ([10.0, 87.5, 99.0], None),  # percentages
        ([1, 3, 5], None),  # grades
        ([-1, 0, 1], None),  # -1 for unknown
        ([-0.2, 0.3, 0.9], None),  # cosines
        ([-7.1, -0.2, -2.3], None),  # logarithms of probabilities
    ],
)
def test_only_what_is_plain_is_recognised(values: list[float], scale: str | None, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"id": "7", **dict(zip(LABELS.names, values, strict=True))})
    if scale is None:
        with pytest.raises(DataError, match=r"values from .* may be something else .*--answers-are logits"):
            read(path)
    else:
        assert read(path).scale == scale
    assert read(path, "logits").logits().tolist() == [pytest.approx(values)]
    if scale != "probabilities":
        with pytest.raises(DataError, match=r"id '7', '.*': probabilities must be 0 to 1, got"):
            read(path, "probabilities")


def test_what_the_file_says_is_not_overruled(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"id": "7", "logits": dict.fromkeys(LABELS.names, 0.5)})
    assert read(path).scale == "logits"
    with pytest.raises(DataError, match="said to hold both"):
        read(path, "probabilities")
    with pytest.raises(DataError, match="logits must be -1000 to 1000, got 1e"):
        read(jsonl(tmp_path / "a.jsonl", {"id": "7", "logits": dict.fromkeys(LABELS.names, 1e30)}))


def test_a_labels_own_name_means_the_label(tmp_path: Path) -> None:
    labels = LabelSet(("annotator", "label", "probabilities", "text", "value"))
    row = {"id": "7", **dict.fromkeys(labels.names, 0.5)}
    assert read(jsonl(tmp_path / "a.jsonl", row), labels=labels).values.tolist() == [[0.5] * 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ids": None},
            "expected the arrays ids, labels and one of answers, probabilities, logits; it has 'labels'",
        ),
        ({"text": np.zeros(2)}, "expected the arrays"),
        ({"logits": np.zeros((2, 3))}, "expected the arrays"),
        ({"probabilities": np.zeros((3, 2))}, r"\(3, 2\) do not fit ids \(2,\)"),
        ({"labels": np.array(["a", "a", "b"])}, "stands twice"),
        ({"labels": np.array(["a", None, 3])}, "not readable as NPZ: .*allow_pickle"),
        ({"ids": np.array([1.0, 2.0])}, "expected ids and labels as text"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(write_npz(tmp_path / "a.npz", **changes))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.npz", "a.parquet", "a.tsv"])
def test_a_file_of_rubbish_is_one_line(name: str, tmp_path: Path) -> None:
    for content in (
        b"",
        b"\xff\xfe\x00rubbish",
        b'id,fear\n"7,0.1',
        b"PK\x03\x04",
        b"id,id\n1,2\n",
        b"id,fear\n1\n",
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name.replace(".", r"\.")) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_files_and_arguments_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        AnswersFile.open(tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"answers\.txt: the suffix of a file of answers must be one of \.json"):
        AnswersFile.open(tmp_path / "answers.txt")
    with pytest.raises(ArgumentError, match=r"give a teacher .*, its answers .*, or both"):
        TeacherSources.of(None, None, None)
    with pytest.raises(ArgumentError, match="answers_are=logits is about teacher_answers, which is not given"):
        TeacherSources.of("runs/teacher", None, "logits")
    with pytest.raises(ArgumentError, match="answers_are must be one of probabilities, logits"):
        TeacherSources.of(None, "a.csv", "percentages")


def splits(*ids: str) -> Splits:
    rows = [Example(id_, f"text {id_}", None, ("fear",)) for id_ in ids]
    return Splits(LABELS, rows[:2], rows[2:3], rows[3:])


def test_it_is_said_whom_the_answers_teach_and_how_they_compare(tmp_path: Path) -> None:
    rows = [one_row(id=id_, fear=1)[0] for id_ in ("a", "c", "x")]
    answers, unlabelled = read(jsonl(tmp_path / "a.jsonl", *rows)), [Example("x", "new", None, None)]
    line = answers.describe_use(splits("a", "b", "c"), unlabelled)
    assert "teaches 2 of 3 training rows; used as it is, not calibrated (mean 0.500, where 0.333 of" in line
    assert line.endswith("2 values moved from 0 or 1 by up to 0.0001")
    assert answers.warnings(splits("a", "b", "c"), unlabelled) == []
    (warning,) = answers.warnings(splits("a", "b", "c"), [])
    assert "1 of its 3 ids are of no row that is used: 'x'" in warning
    with pytest.raises(DataError, match="the id 'a' names a row of the dataset and an unlabelled one"):
        answers.warnings(splits("a", "b", "c"), [Example("a", "another", None, None)])
    with pytest.raises(DataError, match="none of its ids, such as 'a', 'c', 'x', is one of the 2 training rows"):
        answers.describe_use(splits("1", "2"), [])


@pytest.mark.parametrize("nothing", [0, False, "0", "False", "no", "", None])
def test_an_error_of_0_or_false_is_no_error(tmp_path: Path, nothing: Any) -> None:
    path = jsonl(tmp_path / "answers.jsonl", *(row | {"error": nothing} for row in wide_rows()))
    assert set(read(path).row_of) == set(IDS)


@pytest.mark.parametrize("error", ["timed out", True, 1, {"code": 500}])
def test_an_error_of_any_kind_is_no_answer(tmp_path: Path, error: Any) -> None:
    first, second = wide_rows()
    assert list(read(jsonl(tmp_path / "answers.jsonl", first, second | {"error": error})).row_of) == [IDS[0]]
