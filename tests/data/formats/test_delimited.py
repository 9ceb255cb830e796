"""CSV and TSV: which lines are rows, where a file does not say it plainly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distill.core.errors import DataError
from distill.data.columns import Columns
from distill.data.dataset import read_examples
from distill.data.roles import Ask

PLAIN = [f"{number},word{number} and more,{('sad', 'glad')[number % 2]}" for number in range(8)]


def write(path: Path, *lines: str, header: str = "id,text,labels") -> Path:
    path.write_bytes("\n".join([header, *lines, ""]).encode())
    return path


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("last", [3, 6])
def test_a_quote_that_makes_rows_to_a_text_is_refused_with_its_line(
    tmp_path: Path, separator: str, last: int
) -> None:
    rows = [line.replace(",", separator) for line in PLAIN]
    rows[2] = rows[2].replace("word2", '"word2')
    rows[last] = rows[last].replace("more", 'more"')
    path = write(tmp_path / "posts.csv", *rows, header=separator.join(("id", "text", "labels")))
    with pytest.raises(DataError, match=f"lines 4 to {last + 2}: a quote in line 4 makes one text of lines"):
        read_examples(path)


def test_a_quote_that_makes_rows_to_a_text_is_refused_where_texts_come_last(tmp_path: Path) -> None:
    rows = [f"m{number}.png,word{number} and more" for number in range(8)]
    rows[2], rows[4] = 'm2.png,"word2 and more', 'm4.png,word4 and more"'
    path = write(tmp_path / "posts.csv", *rows, header="image,text")
    with pytest.raises(DataError, match="lines 4 to 6: a quote in line 4"):
        read_examples(path)


@pytest.mark.parametrize(
    "text",
    [
        "One line,\nand another, of two columns",
        "It rains, again,\nand it pours, again,\nand it snows, again",
        "9,lists,of,numbers\n8,7,6\n5,4,3",
        "It ends in commas,\nall of it,\n",
        "sad, glad\nglad, sad",
        'He said ""no"", twice\r\nand left, sad',
    ],
)
def test_a_text_of_several_lines_is_one_text_however_many_commas_it_has(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "posts.csv", *PLAIN, f'8,"{text}",sad')
    assert read_examples(path)[8].text == text.replace('""', '"')
    whole = write(tmp_path / "all.csv", *(f'{number},"{text}",sad' for number in range(8)))
    assert {example.text for example in read_examples(whole)} == {text.replace('""', '"')}


def test_a_quote_that_none_closes_is_refused_with_the_line_where_it_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "posts.csv", *PLAIN[:2], '2,"open,sad', *PLAIN[3:])
    with pytest.raises(DataError, match="lines 4 to 9: broken CSV: unexpected end of data; a quote that begins"):
        read_examples(path)


def test_a_file_that_is_utf_8_but_for_some_bytes_is_refused_with_the_line_of_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "posts.csv", *PLAIN, "8,déjà vu,fâché", "9,déjà vu,sad")
    path.write_bytes(path.read_bytes().replace(b"word5", b"w\xe9rd5").replace(b"word6", b"w\xe9rd6"))
    message = "line 7: byte 0xe9 after '5,w' is not UTF-8, as 2 other lines are (2 are not); write the whole file"
    with pytest.raises(DataError, match=re.escape(message)):
        read_examples(path)


def test_a_file_of_windows_1252_is_read_even_if_a_line_is_utf_8_by_chance(tmp_path: Path) -> None:
    rows = [f"{number},«déjà vu»,fâché" for number in range(8)] + ["8,CAFÉ»,sad"]
    path = tmp_path / "posts.csv"
    path.write_bytes("\n".join(["id,text,labels", *rows]).encode("cp1252"))
    assert [example.text for example in read_examples(path)] == ["«déjà vu»"] * 8 + ["CAFÉ»"]
    assert "CAFÉ»".encode("cp1252").decode("utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(PLAIN), "the first line holds '0', 'word0 and more', 'sad', which looks like a row"),
        ("My export,,\nid,text,labels\n1,a b,sad", "the first line names one of 3 columns, 'My export'; if it is"),
        ("# of 2024\nid,text,labels\n1,a b,sad", "got 3. Check the quoting, and that '# of 2024' is the header"),
        ("My export\n" + "\n".join(f"{n};a b;sad" for n in range(6)), "'My export', has one column and the others"),
        (
            "id^text^labels\n1^a b^sad",
            "the header 'id^text^labels' is one column, as its separator is none of comm",
        ),
        ("0,a text of four words,1,0,0", "two columns '0'; keep one of them, or, if it is a row, write a header"),
        ("a text of four words\none more of four words", "if that is a row, write a header above it"),
    ],
)
def test_a_first_line_that_is_no_header_is_refused_as_that(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "posts.csv"
    path.write_text(content + "\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read_examples(path)
    if content.startswith("0,word0"):  # even if its user obeys another message
        with pytest.raises(DataError, match="has the file no header"):
            read_examples(path, Ask(Columns(text="word0 and more", labels=("sad",))))


@pytest.mark.parametrize(
    ("header", "text"),
    [("0,1,2", "1"), ("No,What does the meme say,Mood", "What does the meme say"), ("2023,plot,mood", "plot")],
)
def test_a_header_of_other_words_is_a_header(tmp_path: Path, header: str, text: str) -> None:
    path = write(tmp_path / "posts.csv", *PLAIN, header=header)
    assert len(read_examples(path, Ask(Columns(text=text, labels=(header.split(",")[2],))))) == 8


def test_texts_with_as_many_semicolons_each_are_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "posts.csv", *(f"one; and {number}" for number in range(9)), header="text")
    assert len(read_examples(path, Ask(wants_labels=False))) == 9


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quoted_texts_with_as_many_separators_each_are_texts(tmp_path: Path, suffix: str) -> None:
    separator = ", " if suffix == ".csv" else "\t"
    rows = (f'"Smith{separator}John {number}"' for number in range(6))
    path = write(tmp_path / f"posts{suffix}", *rows, header="headline")
    assert len(read_examples(path, Ask(Columns(text="headline"), wants_labels=False))) == 6
    with pytest.raises(DataError, match="no column for texts or images"):  # and of no title
        read_examples(path, Ask(wants_labels=False))


def test_texts_of_a_named_column_may_have_as_many_signs_each(tmp_path: Path) -> None:
    path = write(tmp_path / "posts.csv", *(f"Title {number} | The News" for number in range(9)), header="headline")
    assert len(read_examples(path, Ask(Columns(text="headline"), wants_labels=False))) == 9


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [("comment,toxic,spam", "comment", "toxic"), ("plot,war,drama", "plot", "war"), ("2019,2020,plot", "plot", "")],
)
def test_columns_that_are_named_prove_the_header(tmp_path: Path, header: str, text: str, label: str) -> None:
    names = header.split(",")
    cells = {names[0]: (names[0], "clean"), names[1]: (names[1], "no"), names[2]: (names[2], "ham")}
    rows = [{name: each[n % 2] for name, each in cells.items()} | {text: f"one film {n}"} for n in range(8)]
    if not label:
        rows = [row | {"2019": str(n), "2020": str(n + 1)} for n, row in enumerate(rows)]
    path = write(tmp_path / "posts.csv", *(",".join(row.values()) for row in rows), header=header)
    asks = [Ask(Columns(text=text), wants_labels=False)]
    asks += [Ask(Columns(text=text, labels=(label,))), Ask(remembered=Columns(text=text, labels=(label,)))] * bool(
        label
    )
    for ask in asks:
        assert [row.text for row in read_examples(path, ask)] == [f"one film {n}" for n in range(8)]
