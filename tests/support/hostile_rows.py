"""Files of rows and texts that are odd, broken or made to harm. Knows bytes, not distill."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """A file's name and content; `reason` is a part of what the refusal says, "" when it must be read."""

    name: str
    content: bytes
    reason: str = ""


def row(**fields: object) -> bytes:
    return json.dumps([{"id": "1", "text": "a", **fields}]).encode()


DEEP = b"[" * 100_000
HEAD = b"id,text,image,labels\n"
TEXTS = [
    "",
    " \t\n",
    "\x00",
    "a\x00b",
    "word " * 20_000,
    "w" * 100_000,
    "שלום עולם \u202e\u202dابجد",
    "👨‍👩‍👧‍👦🏳️‍🌈👍🏽",
    "\u200d\u200b\ufeff\ufffe",
    "\ud800",
    "\udc80\ud800",
    "e\u0301" * 5_000,
    "\u0300" * 5_000,
    "Z̷̛̫a̸͓̐l̵͎̈́g̷̨̈́o̶" * 100,
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "�" * 10,
    "\x1b[31mred\x1b[0m",
    "政治" * 5_000,
    "\U0010ffff\U000e0001",
    "\r\n\u2028\u2029\x85",
]
READ = [
    Rows("utf-16.json", row().decode().encode("utf-16")),
    Rows("latin-1.csv", HEAD + "1,é,,\n".encode("latin-1")),
    Rows("no-id.json", b'[{"text": "a"}]'),
    Rows("no-image-column.csv", b"id,text\n1,a\n"),
    Rows("table-labels.json", row(labels={"x": 1})),
    Rows("bom.json", b"\xef\xbb\xbf" + row()),
    Rows("bom.jsonl", b"\xef\xbb\xbf" + row()[1:-1]),
    Rows("bom.csv", b"\xef\xbb\xbf" + HEAD + b"1,a,,\n"),
    Rows("crlf.jsonl", row()[1:-1] + b"\r\n\r\n"),
    Rows("crlf.csv", HEAD.replace(b"\n", b"\r\n") + b'1,"a\r\nb",,\r\n'),
    Rows("id-with-newline.json", row(id="a\nb")),
    Rows("whole-number-id.json", row(id=10**100)),
    Rows("long-text.json", row(text="word " * 20_000)),
    Rows("surrogate-text.json", row(text="a\ud800b")),
    Rows("nul-text.json", row(text="a\x00b")),
    Rows("nan-beside.json", b'[{"id": "1", "text": "a", "width": NaN, "height": -Infinity}]'),
    Rows("joined-labels.json", row(labels=" x | y |")),
    Rows("doubled-labels.json", row(labels=["x", "x"])),
    Rows("null-fields.json", row(image=None, labels=None)),
    Rows("absolute-image.json", row(image="/nowhere/a.jpg")),
    Rows("image-above.json", row(image="../../a.jpg")),
    Rows("surrogate-image-name.json", row(image="\ud800.jpg")),
    Rows("quoted.csv", HEAD + b'1,"he said ""hi"", twice",,x|y\n'),
    Rows("extra-column.csv", b"id,text,image,labels,likes\n1,a,,,5\n"),
]
REFUSED = [
    Rows("empty.json", b"", "not valid JSON"),
    Rows("empty.jsonl", b"", "has no rows"),
    Rows("empty.csv", b"", "has no rows"),
    Rows("only-bom.json", b"\xef\xbb\xbf", "not valid JSON"),
    Rows("header-alone.csv", HEAD, "has no rows"),
    Rows("object.json", b"{}", "expected a JSON list"),
    Rows("number.json", b"3", "expected a JSON list"),
    Rows("null.json", b"null", "expected a JSON list"),
    Rows("infinity.json", b"Infinity", "expected a JSON list"),
    Rows("list-in-list.json", b"[[]]", "expected an object"),
    Rows("null-row.jsonl", b"null\n", "expected an object"),
    Rows("cut.json", row()[:-4], "not valid JSON"),
    Rows("two-values.json", row() + row(), "not valid JSON"),
    Rows("deep.json", DEEP, "not valid JSON"),
    Rows("deep.jsonl", DEEP, "not valid JSON"),
    Rows("deep-objects.json", b'{"a":' * 100_000, "not valid JSON"),
    Rows("deep-labels.json", row(labels=0).replace(b"0", b"[" * 500 + b"]" * 500), "labels must be a list"),
    Rows(
        "doubled-key.json", b'[{"id": "1", "text": "a", "labels": ["x"], "labels": []}]', "'labels' appears twice"
    ),
    Rows("doubled-key.jsonl", b'{"id": "1", "id": "2", "text": "a"}', "'id' appears twice"),
    Rows("endless-number.json", b'[{"id": ' + b"9" * 100_000 + b', "text": "a"}]', "not valid JSON"),
    Rows("latin-1.json", '[{"id": "1", "text": "é"}]'.encode("latin-1"), "not readable as UTF-8"),
    Rows("latin-1.jsonl", '{"id": "1", "text": "é"}'.encode("latin-1"), "not readable as UTF-8"),
    Rows("empty-id.json", row(id=""), "has no 'id'"),
    Rows("nan-id.json", row(id=float("nan")), "has no 'id'"),
    Rows("true-id.json", row(id=True), "id must be"),
    Rows("list-id.json", row(id=["1"]), "id must be"),
    Rows("surrogate-id.json", row(id="\ud800"), "half a character"),
    Rows("doubled-id.json", b'[{"id": "1", "text": "a"}, {"id": 1, "text": "b"}]', "ids must be unique"),
    Rows("number-text.json", row(text=5), "text must be a string; got 5"),
    Rows("zero-text.json", row(text=0), "text must be a string; got 0"),
    Rows("false-text.json", row(text=False, image="a.jpg"), "text must be a string; got False"),
    Rows("nan-text.json", row(text=float("nan")), "neither 'text' nor 'image'"),
    Rows("endless-text.json", row(text="a" * 1_000_001), "1,000,001 characters, over the limit"),
    Rows("no-text-no-image.json", row(text=" "), "neither 'text' nor 'image'"),
    Rows("number-image.json", row(image=3.5), "image must be a file name; got 3.5"),
    Rows("false-image.json", row(image=False, text="a"), "image must be a file name; got False"),
    Rows("nul-image.json", row(image="a\x00.jpg"), "NUL character"),
    Rows("endless-image-name.json", row(image="a" * 5000), "5,000 characters, which names no file"),
    Rows("number-labels.json", row(labels=3), "labels must be a list"),
    Rows("number-label.json", row(labels=["x", 3]), "labels must be a list"),
    Rows("long-wrong-labels.json", row(labels=[1] * 100_000), "labels must be a list"),
    Rows("no-text-column.csv", b"id,words\n1,a\n", "no column for texts or images"),
    Rows("doubled-column.csv", b"id,text,image,text\n1,a,,b\n", "two columns 'text'"),
    Rows("open-quote.csv", HEAD + b'1,"a,,\n2,b,,\n', "broken CSV"),
    Rows("quote-inside.csv", HEAD + b'1,"a"b,,\n', "broken CSV"),
    Rows("short-row.csv", HEAD + b"1,a\n", "expected 4 fields"),
    Rows("long-row.csv", HEAD + b"1,a,,x,y\n", "expected 4 fields"),
    Rows("megabyte-field.csv", HEAD + b"1," + b"a" * (1 << 20) + b",,\n", "over the limit of 1,000,000"),
    Rows("no-code-page.csv", HEAD + b"1,\x81,,\n", "neither UTF-8 nor Windows-1252"),
    Rows("image.json", b"\x89PNG\r\n\x1a\n", "not readable as UTF-8"),
    Rows("table.parquet", b"PAR1", "cannot be read as Parquet"),
]
