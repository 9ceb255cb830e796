"""Input that never ends, or never begins, is one line: a device, a pipe, a file of gigabytes, an endless line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.core.errors import DataError
from distill.core.storage import inputs
from distill.core.storage.files import sha256_of
from distill.data.dataset import read_examples
from distill.data.labels import LabelSet
from distill.data.sources import Source

READERS: dict[str, Callable[[Path], object]] = {
    ".json": read_examples,
    ".csv": read_examples,
    ".jsonl": lambda path: [list(Source.open(path).items()), read_examples(path)],
    ".txt": LabelSet.read,
    ".parquet": lambda path: list(Source.open(path).items()),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", READERS)
def test_a_device_and_a_pipe_are_refused_at_once(tmp_path: Path, suffix: str) -> None:
    pipe, link = tmp_path / f"pipe{suffix}", tmp_path / f"link{suffix}"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for path in (pipe, link):
        with pytest.raises(DataError, match="is a device or a pipe, not a plain file"):
            READERS[suffix](path)


@pytest.mark.timeout(20)
def test_a_line_without_an_end_is_refused_and_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_LINE", 1 << 16)
    for suffix in (".csv", ".jsonl"):
        path = tmp_path / f"large{suffix}"
        with path.open("wb") as handle:
            handle.write(b"id,text,image,labels\n" if suffix == ".csv" else b"\n")
            handle.truncate(1 << 34)
        with pytest.raises(DataError, match=r"large\..*: line 2 has more than 65,536 characters"):
            READERS[suffix](path)


@pytest.mark.timeout(20)
def test_a_file_of_gigabytes_that_would_be_read_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as handle:
        handle.truncate(1 << 34)
    with pytest.raises(DataError, match=r"large\.txt: has more than 67,108,864 bytes"):
        LabelSet.read(path)


@pytest.mark.timeout(20)
def test_hashes_are_of_plain_files_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a plain file"):
            sha256_of(path)
