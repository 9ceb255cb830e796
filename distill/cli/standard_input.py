"""- in place of a file of rows: rows on standard input, in any form that a file may have."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from distill.core.errors import DataError

STDIN = "-"
IMAGES_OF_STDIN = "distill.images"  # a key of a context's meta: where images are that rows of standard input name


class Rows(click.Path):
    """A file or folder of rows, what names a dataset on the hub, or - for standard input.

    Standard input is read to its end into a temporary file, because a dataset is read more than once.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Raises DataError for a standard input that is empty."""
        if value != STDIN or ctx is None:
            return super().convert(value, param, ctx)
        folder = Path(tempfile.mkdtemp(prefix="distill-"))
        ctx.find_root().call_on_close(lambda: shutil.rmtree(folder, ignore_errors=True))
        ctx.meta[IMAGES_OF_STDIN] = str(Path.cwd())
        return _spool(folder)


def _spool(folder: Path) -> Path:
    """Standard input as a file whose suffix says what it holds."""
    with (folder / "stdin").open("wb") as file:
        if sys.stdin is not None:  # a process may have none
            shutil.copyfileobj(sys.stdin.buffer, file)
    with (folder / "stdin").open("rb") as file:
        head = file.read(1 << 16)
    if not head.strip():
        raise DataError("standard input: is empty; pipe rows into it, such as < rows.jsonl, or name a file")
    path = folder / f"standard-input{_suffix(head)}"
    (folder / "stdin").rename(path)
    return path


def _suffix(head: bytes) -> str:
    """The suffix of a table that begins so."""
    if head.startswith(b"PAR1"):
        return ".parquet"
    text = head.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    if text.startswith(b"{"):
        return ".jsonl"
    if text.startswith(b"["):
        return ".json"
    return ".tsv" if b"\t" in text.split(b"\n", 1)[0] else ".csv"
