"""A column for each label, and dictionaries of labels: what has no column or key is unknown, never absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.convert import convert
from distill.data.dataset import Example, read_examples, read_splits
from distill.data.dividing.split_file import split_file
from distill.data.labels import LabelSet
from distill.data.roles import Ask

TRAIN = "id,text,sad,glad,war\n1,a,1,0,0\n2,b,0,1,1\n"


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def known(examples: list[Example]) -> list[tuple[tuple[str, ...] | None, tuple[str, ...]]]:
    return [(example.labels, example.unknown_labels) for example in examples]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("sad,glad,War", "lacks column 'war'; it has 'War'; all files need"),
        ("sad,glad", "lacks column 'war'; all files need"),
        ("Sad,Glad,War", "lacks 3 columns of labels, 'sad', 'glad', 'war'; it has 'Sad', 'Glad', 'War'; all files"),
    ],
)
def test_a_split_that_lacks_or_respells_a_column_of_labels_is_refused(
    tmp_path: Path, header: str, message: str
) -> None:
    write(tmp_path / "train.csv", TRAIN)
    zeros = ",0" * (header.count(",") + 1)
    test = write(tmp_path / "test.csv", f"id,text,{header}\n8,d{zeros}\n")
    with pytest.raises(DataError) as refused:
        read_splits(tmp_path, columns=Columns(labels=("sad", "glad", "war")))
    assert str(refused.value).startswith(f"{test}: {message}")


def test_a_split_that_respells_the_one_column_of_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "id,text,kind\n1,a,sad\n2,b,glad\n")
    test = write(tmp_path / "test.csv", "id,text,Kind\n8,d,sad\n")
    with pytest.raises(DataError, match="lacks column 'kind'; it has 'Kind'"):
        read_splits(tmp_path, columns=Columns(labels=("kind",)))
    write(test, "id,text\n8,d\n")  # as where labels are kept secret
    assert known(read_splits(tmp_path, columns=Columns(labels=("kind",))).test) == [(None, ())]


def test_a_remembered_column_of_labels_is_found_under_a_usual_name(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "id,text,Label\n8,d,sad\n")
    assert read_examples(path, Ask(remembered=Columns(labels=("label",))))[0].labels == ("sad",)


def test_labels_of_a_bundle_without_a_column_are_unknown_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "rows.csv", TRAIN)
    labels = LabelSet(("fear", "glad", "sad", "war"))
    rows = read_examples(path, Ask(Columns(labels=("sad", "glad")), labels=labels))
    assert known(rows) == [(("sad",), ("fear", "war")), (("glad",), ("fear", "war"))]
    assert "'fear', 'war' have no column, and so are unknown" in " ".join(capsys.readouterr().err.split())
    one = read_examples(path, Ask(Columns(labels=("sad",)), labels=labels))
    assert known(one) == [(("sad",), ("fear", "glad", "war")), ((), ("fear", "glad", "war"))]


@pytest.mark.parametrize("quoted", [False, True])
def test_a_key_that_a_dictionary_of_1_and_0_omits_is_unknown(tmp_path: Path, quoted: bool) -> None:
    cells = ['{"sad": 0}', '{"sad": 1, "glad": 1}', '{"sad": 1, "glad": 0}']
    cells = [
        f'"{cell}"'.replace('{"', "{'").replace('":', "':").replace(', "', ", '") for cell in cells
    ] * quoted or cells
    lines = (f'{{"id": "{n}", "text": "a", "labels": {cell}}}\n' for n, cell in enumerate(cells))
    rows = read_examples(write(tmp_path / "rows.jsonl", "".join(lines)))
    assert known(rows) == [((), ("glad",)), (("sad", "glad"), ()), (("sad",), ())]
    bundle = Ask(labels=LabelSet(("glad", "sad", "war")))
    assert known(read_examples(tmp_path / "rows.jsonl", bundle))[2] == (("sad",), ("war",))


def test_a_key_that_a_dictionary_of_1_alone_omits_is_absent(tmp_path: Path) -> None:
    lines = (
        '{"id": 1, "text": "a", "labels": {"sad": 1}}\n{"id": 2, "text": "b", "labels": {"glad": 1, "war": null}}\n'
    )
    rows = read_examples(write(tmp_path / "rows.jsonl", lines))
    assert known(rows) == [(("sad",), ()), (("glad",), ("war",))]


def test_a_row_with_no_label_and_an_unknown_one_stays_so_in_what_is_written(tmp_path: Path) -> None:
    content = "".join(f"{n},word {n},{n % 2},{'' if n % 4 == 0 else 1}\n" for n in range(20))
    source = write(tmp_path / "rows.csv", "id,text,sad,war\n" + content)
    columns = Columns(labels=("sad", "war"))
    before = sorted((row.id, row.labels, row.unknown_labels) for row in read_examples(source, Ask(columns)))
    assert before[0] == ("0", (), ("war",))
    convert(source, tmp_path / "out", "jsonl", columns=columns)
    written = read_examples(tmp_path / "out" / "rows.jsonl")
    assert sorted((row.id, row.labels, row.unknown_labels) for row in written) == before
    split_file(source, tmp_path / "split", seed=1, columns=columns)
    splits = read_splits(tmp_path / "split")
    divided = [*splits.train, *splits.dev, *splits.test]
    assert sorted((row.id, row.labels, row.unknown_labels) for row in divided) == before
