"""Reads Parquet files, whole or some rows by their numbers, in a process of their own (`parquet_process`)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import distill
from distill.core.errors import DataError
from distill.core.extras import require
from distill.core.storage.inputs import open_input
from distill.core.untrusted import shorten
from distill.data.columns import Columns
from distill.data.formats.table import Table

SUFFIX = ".parquet"
REFUSED = 65  # exit code of parquet_process
Row = tuple[int, dict[str, Any] | DataError]


def is_parquet(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() == SUFFIX


def open_parquet(path: Path) -> Table:
    """The rows of a file, with what Hugging Face datasets have written of its columns: a class stands for its
    number, and an Image column holds the images. Raises DataError."""
    with _rows(path, 0, 0) as stream:
        features = _features(stream.schema)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    classes = list(_class_names(features))
    columns = Columns(
        image=images[0] if len(images) == 1 else "", labels=tuple(classes) if len(classes) == 1 else ()
    )
    return Table("Parquet", iter_rows(path), columns)


@dataclass(frozen=True)
class Footer:
    """A Parquet file, its number of rows, and a hash of its footer, which gives the place and length of every
    column: it tells files of terabytes apart without reading them."""

    path: Path
    rows: int
    footer: str


def describe(paths: Sequence[Path]) -> list[Footer]:
    """Read the files' footers. Raises DataError if one is not a Parquet file."""
    footers: list[Footer] = []
    asked = "".join(f"{path.absolute()}\n" for path in paths).encode(errors="surrogateescape")
    with _process(paths, ["footers"], asked) as process:
        for path, line in zip(paths, process.stdout, strict=False):
            footers.append(Footer(path, *json.loads(line)))
        if len(footers) < len(paths):
            raise process.refusal(paths[len(footers)])
    return footers


def iter_rows(
    path: Path, first: int = 0, count: int | None = None, columns: Collection[str] | None = None
) -> Iterator[Row]:
    """(row number from 1, row) of `count` rows after the first `first`, all of them for None, with these `columns`
    alone, and read in batches. Raises DataError."""
    stop = sys.maxsize if count is None else first + count
    with _rows(path, first, stop, columns) as stream:
        classes = _class_names(_features(stream.schema))
        rows = (row for batch in stream for row in batch.to_pylist())
        for number, row in enumerate(rows, first + 1):
            yield number, row | {name: _named(row[name], names) for name, names in classes.items()}


def _features(schema: Any) -> dict[str, Any]:
    """By column, what Hugging Face datasets have written of it; nothing where they have not written the file."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    except (TypeError, KeyError, ValueError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    # A sequence is written as a list of one feature, or as an object around it.
    features = {name: each[0] if isinstance(each, list) and each else each for name, each in features.items()}
    return {name: each for name, each in features.items() if isinstance(each, dict) and name in schema.names}


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of classes, by their columns."""
    inner = {
        name: each["feature"] if isinstance(each.get("feature"), dict) else each for name, each in features.items()
    }
    return {
        name: each["names"]
        for name, each in inner.items()
        if isinstance(each.get("names"), list) and all(isinstance(one, str) for one in each["names"])
    }


def _named(value: Any, names: list[str]) -> Any:
    """Names in place of the numbers of classes; -1, as in test sets that keep theirs secret, is none."""
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    if isinstance(value, int) and -1 <= value < len(names):
        return names[value] if value >= 0 else None
    return value


@contextmanager
def _rows(path: Path, first: int, stop: int, columns: Collection[str] | None = None) -> Iterator[Any]:
    """An Arrow stream of the rows first..stop, to be read to its end. Raises DataError, InstallError without
    pyarrow."""
    pyarrow = require("pyarrow", f"{path}: reading it")
    with _process(
        [path],
        [
            "rows",
            str(path.absolute()),
            str(first),
            str(stop),
            json.dumps(None if columns is None else list(columns)),
        ],
    ) as process:
        try:
            yield pyarrow.ipc.open_stream(process.stdout)
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
            raise process.refusal(path, error) from error
        if process.wait():  # a stream that breaks off between two batches reads as if it had ended
            raise process.refusal(path)


class _Process(subprocess.Popen[bytes]):
    """parquet_process, whose standard error is `errors`."""

    stdout: IO[bytes]
    errors: IO[bytes]

    def refusal(self, path: Path, error: Exception | None = None) -> DataError:
        """Why it gave up reading a file, or else the error in what it had written."""
        self.stdout.close()  # it ends now, if it has not yet
        code = self.wait()
        self.errors.seek(0)
        said = self.errors.read(2000).decode(errors="replace").strip()
        if code == 0:
            return DataError(f"{path}: cannot be read as Parquet: {shorten(str(error))}")
        if code == REFUSED:
            return DataError(f"{path}: cannot be read as Parquet: {said}")
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DataError(
            f"{path}: damaged: reading it ended pyarrow's process ({name}: {shorten(said)}); write the file again"
        )


@contextmanager
def _process(paths: Sequence[Path], arguments: Sequence[str], asked: bytes = b"") -> Iterator[_Process]:
    for path in paths:
        require("pyarrow.parquet", f"{path}: reading it")
        open_input(path, DataError).close()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as questions:
        questions.write(asked)
        questions.seek(0)
        process = _Process(
            [sys.executable, "-m", "distill.data.formats.parquet_process", *arguments],
            stdin=questions,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=Path(
                distill.__file__
            ).parent.parent,  # this distill is imported, and nothing from the caller's folder
        )
        process.errors = errors
        try:
            yield process
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
