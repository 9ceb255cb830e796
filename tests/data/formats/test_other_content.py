"""Files that hold no rows, whatever their names say: none is read as an empty or a strange table."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import pytest

from distill.core.errors import DataError
from distill.data.dataset import read_examples, read_splits
from distill.data.sources import Source

ROWS = "id,text,labels\n1,word,x\n"


def workbook() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


OTHERS = {
    "workbook of Excel": workbook(),
    "compressed with gzip": gzip.compress(ROWS.encode()),
    "pickle, which could run anything": pickle.dumps([1]),
    "pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a web page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Sign in, please</body></html>\n",
    "is Parquet; call it": b"PAR1" + b"\0" * 40,
    "UTF-16 without a byte order mark": ROWS.encode("utf-16-le"),
    "or UTF-32": ROWS.encode("utf-32"),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx"])
def test_a_file_of_something_else_is_called_what_it_is(what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"posts{suffix}"
    path.write_bytes(OTHERS[what])
    with pytest.raises(DataError, match=what) as refused:
        read_examples(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match=what):
        list(Source.open(path).items())


def test_a_folder_with_a_workbook_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "labels.xlsx").write_bytes(workbook())
    with pytest.raises(DataError, match=r"labels\.xlsx: is a workbook of Excel.*save the sheet as CSV"):
        read_splits(tmp_path)
