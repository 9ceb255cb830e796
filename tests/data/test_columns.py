"""Columns: what is understood, what must be said, and that nothing is dropped without a word."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.core.errors import ArgumentError, DataError
from distill.core.settings.columns import Columns
from distill.data.dataset import Example, read_examples, read_splits
from distill.data.dividing.split_file import split_file
from distill.data.formats import json_rows, parquet_process
from distill.data.formats import parquet as formats_parquet
from distill.data.formats.parquet import describe
from distill.data.labels import LabelSet
from distill.data.roles import Ask
from distill.data.sources import FailedRow, Source

SIX = {"crowd", "fear", "irony", "praise", "rally", "sunny"}


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def read(path: Path, content: str, known: tuple[str, ...] = (), **columns: Any) -> list[Example]:
    labels = LabelSet(known) if known else None
    return read_examples(write(path, content), Ask(Columns(**columns), labels=labels))


def labels_of(examples: list[Example]) -> list[tuple[str, ...] | None]:
    return [example.labels for example in examples]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("name", ["img", "Image", "image_path", "picture", "file_name", "IMG-Path"])
def test_images_under_their_usual_names_are_read_in_training_and_prediction_alike(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    content = lines({"id": "1", "text": "word", name: "a.png", "label": 1}, {"id": "2", name: "a.png", "label": 0})
    (first, second) = read(tmp_path / "train.jsonl", content)
    assert first.image == second.image == tmp_path / "a.png"
    assert (first.labels, second.labels) == (("label",), ())
    assert f"image is column '{name}'; label 'label' is column 'label', of 0 and 1" in capsys.readouterr().err
    items = list(Source.open(tmp_path / "train.jsonl").items())
    assert [item.image for item in items if not isinstance(item, FailedRow)] == [tmp_path / "a.png"] * 2
    assert "columns not used: label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a", "img": "a.jpg", "picture": "b.jpg"}, "2 columns could be the image: 'img', 'picture'"),
        ({"caption": "a", "tweet": "b"}, "could be the text: 'caption', 'tweet'; name one with --text-column"),
        ({"text": "a", "tags": ["x"], "label": 1}, "could be the labels: 'tags', 'label'"),
        ({"text": "a", "shown": "b.JPG"}, "'shown' looks like one; give --image-column shown"),
        ({"img": "a.jpg", "plot": "Long ago and far away"}, "'plot' looks like one; give --text-column plot"),
        ({"text": "a", "sad": 1, "glad": 0}, "'sad', 'glad' look like labels; give --label-columns sad,glad"),
        ({"text": "a", "mood": "['sad', 'glad']"}, "'mood' looks like labels"),
        ({"key": "a", "other": "b"}, "has no column for texts or images"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_option_that_makes_it_so(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path / "a.jsonl", lines({"id": "1"} | row))
    assert message in str(refused.value)


def test_columns_are_what_their_user_says(tmp_path: Path) -> None:
    content = lines({"key": 7, "text": "no", "plot": "yes", "url": "a.jpg", "mood": "sad/glad"})
    said = {"id": "key", "text": "plot", "image": "-", "labels": ("mood",), "separator": "/"}
    assert read(tmp_path / "a.jsonl", content, **said) == [Example("7", "yes", None, ("sad", "glad"))]
    with pytest.raises(DataError, match=r"no column 'mod', which --label-columns names. It has 'key', 'text'"):
        read(tmp_path / "a.jsonl", content, **(said | {"labels": ("mod",)}))


def test_columns_in_python_are_a_mapping_or_refused() -> None:
    assert Columns.of({"labels": "mood", "cut": 3}) == Columns(labels=("mood",), cut=3.0)
    with pytest.raises(ArgumentError, match="unknown key 'label'; did you mean labels"):
        Columns.of({"label": "mood"})
    assert Columns(text="a").over(Columns(text="b", image="c")) == Columns(text="a", image="c")


def test_a_column_a_label_is_named_or_matched_and_its_empty_cells_are_unknown(tmp_path: Path) -> None:
    content = "id,text,is_sad,is_glad\na,one two,1,0\nb,three,0,\nc,four,,\nd,five,1.0,True\n"
    for said in (("is_sad", "is_glad"), ("is_*",)):
        examples = read(tmp_path / "a.csv", content, labels=said)
        assert labels_of(examples) == [("is_sad",), (), None, ("is_sad", "is_glad")]
        assert examples[1].unknown_labels == ("is_glad",)


@pytest.mark.parametrize(
    ("cells", "labels", "expected"),
    [
        (["['sad', 'glad']", "[]", '"[""war""]"'], (), [("sad", "glad"), (), ("war",)]),
        (["sad, glad", "sad", "glad"], (), [("sad", "glad"), ("sad",), ("glad",)]),
        (["sad; war", "sad", "war; sad"], ("sad", "war"), [("sad", "war"), ("sad",), ("war", "sad")]),
        (["sad, war", "sad"], ("sad, war", "sad"), [("sad, war",), ("sad",)]),
        (["a, b|c", "c"], (), [("a, b", "c"), ("c",)]),
        (["0", "1", "0"], (), [(), ("mood",), ()]),
        (["0", "1", "0"], ("sad", "glad"), [("sad",), ("glad",), ("sad",)]),
        (["0", "2", "1"], (), [("0",), ("2",), ("1",)]),
        (["2.0", "", "1.0"], ("sad", "glad", "war"), [("war",), None, ("glad",)]),
        (["sad", "nan", "None"], (), [("sad",), None, None]),
        (["sad", "None", "glad"], ("sad", "glad", "None"), [("sad",), ("None",), ("glad",)]),
        (["True", "False", "nan"], (), [("mood",), (), None]),
        (["t", "f", "#N/A"], (), [("mood",), (), None]),
        (["[0, 1, 1]", "[1, 0, 0]"], ("sad", "glad", "war"), [("glad", "war"), ("sad",)]),
        (["[0.0, 1.0]", "[False, True]"], ("sad", "glad"), [("glad",), ("glad",)]),
        (["[0, 2]", "[1]"], ("sad", "glad", "war"), [("sad", "war"), ("glad",)]),
        (["('sad', 'glad')", "set()", "()"], (), [("sad", "glad"), (), ()]),
        (["very sad", "sad"], (), [("very sad",), ("sad",)]),
        (["sad glad", "sad", "glad"], ("sad", "glad", "sad glad"), [("sad glad",), ("sad",), ("glad",)]),
    ],
)
def test_cells_of_labels_are_read_as_they_are_meant(
    tmp_path: Path, cells: list[str], labels: tuple[str, ...], expected: list[tuple[str, ...] | None]
) -> None:
    quoted = [cell if cell.startswith('"') else f'"{cell}"' for cell in cells]
    content = "id,text,mood\n" + "".join(f"{n},word,{cell}\n" for n, cell in enumerate(quoted))
    assert labels_of(read(tmp_path / "a.csv", content, labels, labels=("mood",))) == expected


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["sad, glad", "war"], "if a comma stands between labels, give --label-separator ','"),
        (["['sad' 'glad']"], "a list without commas, as numpy writes it"),
        (["['sad', 'glad'"], "which is no list of names|if a comma stands"),
        (["0.25", "0.75"], "--label-cut NUMBER gives the least that counts as 1"),
        (["[0, 1]", "[1, 0]"], "may be the numbers of the two labels or a 1 for one of them"),
        (["frozenset({'sad'})", "frozenset()"], "as Python writes an object; save it as a list"),
        (["-2", "0", "1"], "holds -2: a class is numbered from 0"),
        (["sad glad", "sad", "glad"], "if a space stands between labels, give --label-separator ' '"),
        (["sad/glad", "sad", "glad"], "if / stands between labels, give --label-separator '/'"),
        ([str(n) for n in range(300)], "--label-cut NUMBER gives the least that counts as 1"),
    ],
)
def test_cells_that_could_be_misread_are_refused(tmp_path: Path, cells: list[str], message: str) -> None:
    content = "id,text,mood\n" + "".join(f'{n},word,"{cell}"\n' for n, cell in enumerate(cells))
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.csv", content, ("sad", "glad") if "[0" in cells[0] else (), labels=("mood",))


def test_a_class_of_minus_1_is_unknown_and_a_note_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = read(tmp_path / "a.csv", "id,text,label\n1,a,-1\n2,b,0\n3,c,1\n")
    assert labels_of(examples) == [None, ("0",), ("1",)]
    assert "-1 is read as unknown" in capsys.readouterr().err


def test_numbers_are_cut_where_their_user_says(tmp_path: Path) -> None:
    content = "id,text,fun,harm\n1,a,3,0.5\n2,b,1,\n3,c,2,0.7\n"
    examples = read(tmp_path / "a.csv", content, labels=("fun", "harm"), cut=2.0)
    assert labels_of(examples) == [("fun",), (), ("fun",)]
    with pytest.raises(
        DataError, match="row 1: column 'fun' holds '3', where a label's column holds 0, 1 or nothing; --l"
    ):
        read(tmp_path / "a.csv", content, labels=("fun", "harm"))


@pytest.mark.parametrize(
    ("encoding", "separator", "end", "said"),
    [
        ("utf-8", ",", "\n", ""),
        ("utf-8-sig", ";", "\r\n", "CSV separated by semicolons"),
        ("utf-16", "\t", "\r\n", "CSV separated by tabs"),
        ("cp1252", "|", "\n", "CSV separated by | in Windows-1252, as it is not UTF-8"),
    ],
)
def test_encodings_and_separators_are_found_and_said(
    tmp_path: Path, encoding: str, separator: str, end: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["", "id", "text", "labels"], ["0", "a", "café, olé", "sad"], ["1", "b", "words", "glad"]]
    path = write(tmp_path / "a.csv", end.join(separator.join(row) for row in rows), encoding)
    if separator == ",":
        write(path, path.read_text(encoding="utf-8").replace("café, olé", '"café, olé"'))
    assert [(e.id, e.text, e.labels) for e in read_examples(path)] == [
        ("a", "café, olé", ("sad",)),
        ("b", "words", ("glad",)),
    ]
    assert capsys.readouterr().err == (f"{path}: read as {said}\n" if said else "")  # pandas' index is no column


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ndjson", ".txt"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_is_known_by_its_content(tmp_path: Path, suffix: str, encoding: str) -> None:
    rows = [{"id": "1", "text": "é", "labels": ["x"]}, {"id": "2", "text": "ü", "labels": []}]
    for number, content in enumerate((lines(*rows), json.dumps(rows), json.dumps(rows, indent=1))):
        path = write(tmp_path / f"{number}{suffix}", content, encoding)
        assert [example.text for example in read_examples(path)] == ["é", "ü"]
        assert [item.id for item in Source.open(path).items()] == ["1", "2"]


def test_a_missing_id_is_the_name_of_the_image_or_the_number_of_the_row(tmp_path: Path) -> None:
    images = [{"img": "a/1.jpg", "labels": ["x"]}, {"img": "a/2.jpg", "labels": []}]
    assert [e.id for e in read(tmp_path / "train.jsonl", lines(*images))] == ["1", "2"]
    assert [e.id for e in Source.open(tmp_path / "train.jsonl").items()] == ["1", "2"]
    again = [*images, {"img": "b/1.jpg", "labels": []}]
    assert [e.id for e in read(tmp_path / "train.jsonl", lines(*again))] == ["train-1", "train-2", "train-3"]
    assert [e.id for e in Source.open(tmp_path / "train.jsonl").items()] == ["1", "2", "3"]
    write(tmp_path / "train.jsonl", lines(*images))
    write(tmp_path / "dev.jsonl", lines(*images))
    splits = read_splits(tmp_path)
    assert [e.id for e in (*splits.train, *splits.dev)] == ["1", "2", "dev-1", "dev-2"]


def test_rows_that_name_a_column_in_another_way_are_noticed(tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": "word", "labels" if n % 2 else "Labels": ["x"]} for n in range(4)]
    with pytest.raises(DataError, match="row 1: has no 'labels' but 'Labels', which may be its labels"):
        read(tmp_path / "a.jsonl", lines(*rows))
    stream = [{"id": str(n), "text": "word"} for n in range(2000)] + [{"id": "new", "caption": "word"}]
    stream[-2] |= {"img": "a.jpg"}
    path = write(tmp_path / "b.jsonl", lines(*stream))
    *good, other, last = Source.open(path).items()
    assert not any(isinstance(item, FailedRow) for item in good)
    assert isinstance(other, FailedRow)
    assert "row 2000: has a new column 'img', which may be its image" in other.error
    assert isinstance(last, FailedRow)
    assert "has no 'text' but 'caption', which may be its text" in last.error


def test_an_empty_cell_of_pandas_is_no_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = "id,text,image,labels\n1,NaN,a.jpg,x\n2,None,b.jpg,nan\n3,Nan bread,nan,x\n"
    assert [(e.text, e.image is None, e.labels) for e in read(tmp_path / "a.csv", content)] == [
        ("", False, ("x",)),
        ("", False, None),
        ("Nan bread", True, ("x",)),
    ]
    assert "'nan' and the like in place of a text are read as no text" in capsys.readouterr().err
    rows = [{"id": "1", "text": float("nan"), "image": "a.jpg"}, {"id": "2", "text": "NaN", "labels": ["x"]}]
    assert [e.text for e in read(tmp_path / "a.json", json.dumps(rows))] == ["", "NaN"]


def test_images_are_found_without_their_suffix_in_other_case_and_in_the_folder_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("1.JPG", "2.jpg", "3.png", "3.jpg"):
        Image.new("RGB", (4, 4)).save(folder / name)
    content = "id,image,labels\na,1.jpg,x\nb,2,x\n"
    examples = read(tmp_path / "a.csv", content, images=str(folder))
    assert [e.image for e in examples] == [folder / "1.JPG", folder / "2.jpg"]
    with pytest.raises(DataError, match=r"image '3' could be '3.jpg' or '3.png'; write its whole name"):
        read(tmp_path / "a.csv", "id,image,labels\na,3,x\n", images=str(folder))


def test_parquet_of_hugging_face_trains_with_its_own_class_names_and_images(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    classes = {"names": ["sad", "glad"], "_type": "ClassLabel"}
    for labels, feature, expected in (
        ([[0, 1], []], {"feature": classes, "_type": "Sequence"}, [("sad", "glad"), ()]),
        ([[0, 1], []], [classes], [("sad", "glad"), ()]),
        ([1, -1], classes, [("glad",), None]),
    ):
        features = {"picture": {"_type": "Image"}, "caption": {"dtype": "string"}, "mood": feature}
        table = pyarrow.table(
            {
                "picture": [{"bytes": buffer.getvalue(), "path": f"{n}.png"} for n in range(2)],
                "caption": ["one", None],
                "mood": labels,
            }
        )
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
        examples = read_examples(tmp_path / "a.parquet")
        assert [(e.id, e.text, e.image, e.labels) for e in examples] == [
            ("0", "one", buffer.getvalue(), expected[0]),
            ("1", "", buffer.getvalue(), expected[1]),
        ]


def test_splits_are_made_of_mapped_columns(tmp_path: Path) -> None:
    rows = "".join(f"t{n} and some words;{n % 2};{n % 3 % 2}\n" for n in range(40))
    write(tmp_path / "all.csv", "caption;sad;glad\n" + rows)
    split_file(tmp_path / "all.csv", tmp_path / "out", 13, Columns(labels=("sad", "glad")))
    splits = read_splits(tmp_path / "out")
    assert splits.labels.names == ("glad", "sad")
    assert len(splits.train) == 28
    assert all(("sad" in (e.labels or ())) == bool(int(e.text[1:].split()[0]) % 2) for e in splits.train)


names = st.text(st.characters(codec="ascii", categories=("L", "N", "Pd")) | st.sampled_from("_ "), min_size=1)
usual = st.sampled_from(["text", "Caption", "img", "file", "tags", "Label", "id", "uid", "other", "col"])
columns = st.lists(
    st.tuples(
        usual | names.map(str.strip).filter(bool), st.sampled_from(["image", "text", "flag", "list", "word"])
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda pair: pair[0],
)


def cells(kind: str, column: int) -> list[str]:
    """Four cells that no other column has, but for flags."""
    return {
        "image": [f"{column}{n}.png" for n in range(4)],
        "text": [f"here are {column} more words of {n}" for n in range(4)],
        "flag": ["0", "1", "1", "0"],
        "list": [f"['x{column}']", f"['x{column}', 'y{column}']", "[]", f"['y{column}']"],
        "word": [f"x{column}", f"y{column}", f"x{column}", f"y{column}"],
    }[kind]


def content_of(example: Example) -> set[str]:
    """Everything that has become of a row."""
    image = {example.image.name} if isinstance(example.image, Path) else set[str]()
    return {example.id, example.text, *image, *(example.labels or ()), repr(list(example.labels or ()))}


@given(
    columns,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from([".csv", ".tsv", ".jsonl"]),
)
@settings(max_examples=200, deadline=None)
def test_no_column_that_looks_like_an_image_a_text_or_labels_is_dropped_without_a_word(
    kinds: list[tuple[str, str]], encoding: str, suffix: str
) -> None:
    """Read, the column's content is in the examples, or its name is in a note; or it is refused."""
    table = {name: cells(kind, column) for column, (name, kind) in enumerate(kinds)}
    rows = [{name: table[name][row] for name in table} for row in range(4)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("distill.core.output.terminal.note", said.append)
        path = Path(folder) / f"a{suffix}"
        if suffix == ".jsonl":
            write(path, lines(*rows), "utf-8" if encoding == "cp1252" else encoding)
        else:
            buffer = io.StringIO(newline="")
            writer = csv.DictWriter(
                buffer, [name for name, _ in kinds], delimiter="," if suffix == ".csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)
            write(path, buffer.getvalue(), encoding)
        try:
            examples = read_examples(path)
        except DataError:
            return
        content, notes = set().union(*map(content_of, examples)), "".join(said)
        for name, kind in kinds:
            assert kind == "word" or name in notes or name in content or not content.isdisjoint(table[name])


def test_a_test_split_whose_labels_are_kept_secret_needs_no_columns_of_them(tmp_path: Path) -> None:
    for name, cells in (("train", ",1,0"), ("dev", ",0,1")):
        write(tmp_path / f"{name}.csv", f"id,text,sad,glad\n{name},word{cells}\n")
    write(tmp_path / "test.csv", "id,text,old\ntest,word,1\n")
    splits = read_splits(tmp_path, columns=Columns(labels=("sad", "glad")))
    assert [labels_of(part) for part in (splits.train, splits.dev, splits.test)] == [
        [("sad",)],
        [("glad",)],
        [None],
    ]


def test_a_label_none_of_json_is_a_name(tmp_path: Path) -> None:
    content = lines({"id": "1", "text": "a", "labels": "None"}, {"id": "2", "text": "b", "labels": "sad"})
    assert labels_of(read(tmp_path / "a.jsonl", content)) == [("None",), ("sad",)]


def test_a_parquet_file_that_makes_pyarrow_abort_is_refused(tmp_path: Path) -> None:
    """A column is of one type in the schema and of another in its metadata."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"id": ["a"], "text": ["words"], "labels": [["x"]]}), path)
    # As thrift writes the metadata of a column: its type, BYTE_ARRAY or INT64, then a list of encodings.
    byte_array, integer = b"\x15\x0c\x19", b"\x15\x04\x19"
    content = path.read_bytes()
    assert content.count(byte_array) == 3
    path.write_bytes(content.replace(byte_array, integer, 1))
    with pytest.raises(DataError, match="damaged: reading it ended pyarrow's process"):
        describe([path])


@pytest.mark.parametrize("first", ["\n", " \r\n\r\n", "sep=;\n"])
def test_what_stands_before_the_header_of_a_table_is_none_of_its_rows(tmp_path: Path, first: str) -> None:
    examples = read(tmp_path / "a.csv", first + "id;text;labels\n1;sep=;,;x\n2;one, two;y\n".replace("sep=;,", "a"))
    assert [example.text for example in examples] == ["a", "one, two"]
    with pytest.raises(DataError, match=f"line {first.count(chr(10)) + 2}: expected 2 fields, .*; got 3"):
        read(tmp_path / "b.csv", first + "id;text\n1;one;two\n")


def test_blanks_behind_every_separator_belong_to_no_value(tmp_path: Path) -> None:
    content = 'id, text, image, labels\n1, "one, two", a.png, x\n'
    (example,) = read(tmp_path / "a.csv", content)
    assert (example.text, example.image, example.labels) == ("one, two", tmp_path / "a.png", ("x",))
    (example,) = read(tmp_path / "b.csv", "id,text,labels\n1, kept,x\n")
    assert example.text == " kept"


def test_images_are_found_by_names_of_other_machines(tmp_path: Path) -> None:
    for name in ("images/a.png", "elsewhere/train/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    names = ("images\\a.png", "/home/someone/memes/train/b.png", "C:\\memes\\train\\b.png", "memes/train/b.png")
    content = "img,text\n" + "".join(f"{name},word {number}\n" for number, name in enumerate(names))
    first, *others = read(tmp_path / "a.csv", content, labels=("-",), images=str(tmp_path / "elsewhere"))
    assert first.image == tmp_path / "images/a.png"
    assert {example.image for example in others} == {tmp_path / "elsewhere/train/b.png"}
    (first, *others) = read(tmp_path / "a.csv", content, labels=("-",))  # nobody has said where to look
    assert not any(isinstance(example.image, Path) and example.image.is_file() for example in others)


@pytest.mark.parametrize("address", ["https://example.org/a.jpg?size=2", "https://example.org/image/77"])
def test_addresses_of_images_are_not_passed_over(tmp_path: Path, address: str) -> None:
    content = f"id,text,image_url\n1,some words,{address}\n"
    with pytest.raises(DataError, match="'image_url' looks like one; give --image-column image_url, or --image-c"):
        read(tmp_path / "a.csv", content)
    (example,) = read(tmp_path / "a.csv", content, image="-")
    assert example.image is None


def test_images_that_are_named_by_ids_alone_are_not_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images/7.png")
    content = lines({"image_id": 7, "caption": "word"})
    with pytest.raises(DataError, match=r"'image_id' names images, such as .*7\.png; give --image-column image_id"):
        read(tmp_path / "a.jsonl", content)
    with pytest.raises(DataError, match="'image_id' names images"):
        list(Source.open(tmp_path / "a.jsonl").items())
    (example,) = read(tmp_path / "a.jsonl", content, image="image_id")
    assert (example.id, example.image) == ("7", tmp_path / "images/7.png")
    (example,) = read(tmp_path / "b.jsonl", content.replace("image_id", "id"))
    assert example.image is None
    assert "images named like the ids, such as" in capsys.readouterr().err


def test_a_whole_number_that_pandas_made_a_float_is_an_id(tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.jsonl", lines({"id": 1.0, "text": "a"}, {"id": 2, "text": "b"}))
    assert (first.id, second.id) == ("1", "2")
    with pytest.raises(DataError, match=r"id must be a string or a whole number; got 1\.5"):
        read(tmp_path / "a.jsonl", lines({"id": 1.5, "text": "a"}))


def test_a_column_that_names_splits_divides_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train", "Train", "val", "test")
    content = "id,text,label,Split\n" + "".join(f"{n},word {n},{'ab'[n % 2]},{words[n % 4]}\n" for n in range(16))
    write(tmp_path / "all.csv", content)
    for source in (tmp_path, tmp_path / "all.csv"):
        splits = read_splits(source)
        assert [example.id for example in splits.dev] == ["2", "6", "10", "14"]
        assert [len(splits.train), len(splits.test)] == [8, 4]
        said = capsys.readouterr().err
        assert "splits are those that column 'Split' says" in said
        assert "not used" not in said


@pytest.mark.parametrize(
    ("cell", "said"), [("holdout", "is 'holdout', which is no split that is known"), ("", "is empty")]
)
@pytest.mark.parametrize("name", ["split", "Fold", "subset"])
def test_a_column_that_names_the_splits_of_some_rows_alone_is_refused(
    tmp_path: Path, name: str, cell: str, said: str
) -> None:
    words = ("train", "test", cell, "train")
    content = f"id,text,label,{name}\n" + "".join(f"{n},word {n},{'ab'[n % 2]},{words[n % 4]}\n" for n in range(16))
    path = write(tmp_path / "all.csv", content)
    for source in (tmp_path, path):
        with pytest.raises(DataError) as refused:
            read_splits(source)
        assert str(refused.value) == (
            f"{path}: row 3: column '{name}' {said}, where other rows say 'train', 'test'; write train, dev or "
            "test in each row, or rename the column to have the rows divided anew"
        )


@pytest.mark.parametrize("name", ["set", "subset", "partition"])
@pytest.mark.parametrize("topics", [("train", "bus"), ("training", "hiking"), ("test", "exam", "training", "quiz")])
def test_a_column_of_topics_that_are_also_words_of_splits_divides_nothing(
    tmp_path: Path, name: str, topics: tuple[str, ...]
) -> None:
    content = f"id,text,label,{name}\n"
    content += "".join(f"{n},word {n},{'ab'[n % 2]},{topics[n % len(topics)]}\n" for n in range(40))
    splits = read_splits(write(tmp_path / "all.csv", content))
    assert [len(splits.train), len(splits.dev), len(splits.test)] == [28, 6, 6]


@pytest.mark.parametrize("name", ["set", "split"])
@pytest.mark.parametrize("topics", ["train bus", "train test"])
def test_a_column_that_its_user_names_for_something_else_divides_nothing(
    tmp_path: Path, name: str, topics: str
) -> None:
    rows = "".join(f"word {n},{topics.split()[n % 2]}\n" for n in range(40))
    path = write(tmp_path / "all.csv", f"text,{name}\n{rows}")
    for source in (tmp_path, path):
        splits = read_splits(source, columns=Columns(labels=(name,)))
        assert sorted(splits.labels.names) == sorted(topics.split())
        assert [len(splits.train), len(splits.dev), len(splits.test)] == [28, 6, 6]
    assert sum(split_file(tmp_path, tmp_path / "out", 13, Columns(labels=(name,)))) == 40


def test_a_later_row_without_the_key_of_splits_is_refused(tmp_path: Path) -> None:
    rows = [{"id": f"{n}", "text": f"word {n}", "labels": ["a"]} for n in range(8)]
    named = [row | {"split": "train"} for row in rows]
    for odd in (0, 5):
        content = lines(*[rows[n] if n == odd else named[n] for n in range(8)])
        with pytest.raises(
            DataError, match=f"row {odd + 1}: column 'split' is empty, where other rows say 'train'"
        ):
            read_splits(write(tmp_path / "all.jsonl", content))


def test_a_column_of_folds_that_names_no_split_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = "id,text,label,fold,set\n" + "".join(f"{n},word {n},{'ab'[n % 2]},{n % 3},c\n" for n in range(20))
    read_splits(write(tmp_path / "all.csv", content))
    warning = (
        "warning: PATH: column 'fold' ('0', '1', '2') names no splits and divides nothing: the rows are divided"
    )
    assert warning.replace("PATH", str(tmp_path / "all.csv")) in " ".join(capsys.readouterr().err.split())
    read_splits(write(tmp_path / "all.csv", content.replace("fold", "rank")))
    assert "warning" not in capsys.readouterr().err  # a set may be anything


def test_a_file_of_test_rows_alone_is_not_divided(tmp_path: Path) -> None:
    rows = "".join(f"{n},word {n},{'ab'[n % 2]},test\n" for n in range(20))
    with pytest.raises(DataError, match="no train split, only test"):
        read_splits(write(tmp_path / "all.csv", "id,text,label,split\n" + rows))


def test_of_parquet_predict_reads_the_columns_that_it_needs_in_batches_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = {"text": [f"word {n} " + "x" * 1000 for n in range(300)], "id": range(300), "labels": [["a"]] * 300}
    parquet.write_table(pa.table(table), tmp_path / "a.parquet", row_group_size=200)
    with formats_parquet._rows(tmp_path / "a.parquet", 0, 300, ["text", "id"]) as stream:
        assert sorted(stream.schema.names) == ["id", "text"]
        assert sum(batch.num_rows for batch in stream) == 300
    with parquet.ParquetFile(tmp_path / "a.parquet") as file:
        monkeypatch.setattr(parquet_process, "BATCH_BYTES", 1 << 12)
        sizes = [batch.num_rows for batch in parquet_process._batches(file, range(300), ["text"]) if batch.num_rows]
        assert sum(sizes) == 300
        assert max(sizes) < 100  # not all 300 of the file in one batch
    items = list(Source.open(tmp_path / "a.parquet").items())
    assert [item.id for item in items] == [str(n) for n in range(300)]
    assert not any(isinstance(item, FailedRow) for item in items)


def test_a_json_list_is_parsed_once_for_each_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = json_rows.parse_json

    def spy(text: str | bytes, name: str, error: type[DataError]) -> Any:
        parsed.append(name)
        return real(text, name, error)

    monkeypatch.setattr(json_rows, "parse_json", spy)
    path = write(tmp_path / "train.json", json.dumps([{"id": "1", "text": "word", "labels": ["a"]}]))
    for _ in range(2):  # what has changed since is seen
        assert len(read_examples(path)) == 1
    assert len(parsed) == 2
    list(Source.open(path).items())
    assert len(parsed) == 3
    assert json_rows._parsed.get() is None  # nothing is held


def test_a_large_file_is_read_under_a_bar_and_predict_shows_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def spy(items: Any, what: str, total: int | None) -> Any:
        shown.append(what)
        return iter(items)

    monkeypatch.setattr("distill.core.output.terminal.track", spy)
    path = write(tmp_path / "train.jsonl", lines({"id": "1", "text": "word", "labels": ["a"]}))
    read_examples(path)
    assert shown == []
    monkeypatch.setattr("distill.data.rows.LARGE", 10)
    read_examples(path)
    assert shown == ["looking at train.jsonl", "reading train.jsonl"]
    list(Source.open(path).items())
    assert len(shown) == 2


@pytest.mark.parametrize(("name", "content"), [("a.csv", "id,text\n"), ("a.jsonl", ""), ("a.json", "[]")])
def test_a_file_without_rows_is_said_to_have_none(
    tmp_path: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(Source.open(write(tmp_path / name, content)).items()) == []
    assert f"{name}: has no rows" in capsys.readouterr().err.replace("\n", "")


def test_names_in_the_index_of_pandas_are_ids_and_its_numbers_are_none(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "a", "labels": ["x"], "__index_level_0__": name} for name in ("p0", "p1")]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert [row.id for row in read_examples(tmp_path / "rows.parquet")] == ["p0", "p1"]
    assert [row.id for row in read(tmp_path / "a.csv", ",text,labels\np0,a,x\np1,b,y\n")] == ["p0", "p1"]
    for index in (("3", "4"), ("p", "p"), ("p", "")):  # a number, the same twice, none
        content = f",text,labels\n{index[0]},a,x\n{index[1]},b,y\n"
        assert [row.id for row in read(tmp_path / "a.csv", content)] == ["a-1", "a-2"]


@pytest.mark.parametrize("index", ["r{}", "2024-05-0{} 10:00"])
def test_an_index_that_starts_again_in_another_file_is_no_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], index: str
) -> None:
    for name in ("train", "dev", "test"):
        rows = "".join(f"{index.format(n + 1)},{name} word {n},{'ab'[n % 2]}\n" for n in range(3))
        write(tmp_path / f"{name}.csv", f",text,label\n{rows}")
    splits = read_splits(tmp_path)
    assert [row.id for row in splits.train] == [index.format(n) for n in (1, 2, 3)]
    assert [row.id for row in (*splits.dev, *splits.test)] == [
        f"{s}-{n}" for s in ("dev", "test") for n in (1, 2, 3)
    ]
    note = "dev.csv: its index 'Unnamed: 0' has values of a file before it, so ids are the row numbers"
    assert note in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["file_name", "Path"])
def test_a_column_of_file_names_without_suffix_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images/7.png")
    content = f"{name},caption,label\n7,word,a\n"
    with pytest.raises(DataError, match=rf"'{name}' names images, such as .*7\.png; give --image-column {name}"):
        read(tmp_path / "a.csv", content)
    assert read(tmp_path / "a.csv", content, image=name)[0].image == tmp_path / "images/7.png"
    assert read(tmp_path / "a.csv", content.replace("7", "8"))[0].image is None


@pytest.mark.parametrize("header", ["id,text,labels", '"id",text,labels'])
def test_a_second_byte_order_mark_is_no_part_of_the_header(tmp_path: Path, header: str) -> None:
    (example,) = read(tmp_path / "a.csv", f"\ufeff\ufeff{header}\n7,a,x\n")
    assert (example.id, example.labels) == ("7", ("x",))
