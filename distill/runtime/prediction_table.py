"""Predictions as a table: CSV, TSV or Parquet, made of their finished lines of JSON.

A row for each line, with the columns id, labels (a list; in text files written as JSON), the probability of each
label under the label's name, error (of a row that could not be read, which has nothing else) and, where the model
may abstain, ask, and where texts were read off images, ocr_text.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distill.core.errors import OutputError
from distill.core.extras import require
from distill.core.storage.files import explain_write_errors, hidden_path
from distill.data.formats.open_table import open_table
from distill.runtime.partial_file import is_failed_row

LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
TABLES = (*SEPARATORS, PARQUET)
BATCH_ROWS = 10_000
OWN = ("id", "labels", "error", "ocr_text")


def is_table(out: Path) -> bool:
    """Whether predictions in a file of this name are a table, and not lines of JSON."""
    return out.suffix.lower() in TABLES


def check_table(out: Path, labels: Sequence[str], more: Sequence[str] = ()) -> None:
    """Raise OutputError where a table cannot hold these labels, InstallError where its library is missing; before
    anything is predicted."""
    for name in dict.fromkeys((*OWN, *more)):
        if name in labels:
            raise OutputError(
                f"{out}: the label {name!r} would be a column of the same name as the {name} of a row; write "
                f"{out.with_suffix('.jsonl').name}"
            )
    if out.suffix.lower() == PARQUET:
        _pyarrow(out)


def write_table(lines: Path, out: Path, labels: Sequence[str], more: Sequence[str]) -> None:
    """Write the table `out` of finished lines of JSON as a whole, or not at all. Raises OutputError."""
    with lines.open("rb") as handle, explain_write_errors(out), hidden_path(out, "part") as temporary:
        rows = (_row(json.loads(line), labels, more) for line in handle)
        if out.suffix.lower() == PARQUET:
            _write_parquet(rows, temporary, labels, more)
        else:
            _write_text(rows, temporary, SEPARATORS[out.suffix.lower()], labels, more)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(out)


def count_failed(out: Path) -> int:
    """The rows of finished predictions that could not be read, in a table or in lines of JSON."""
    if is_table(out):
        return sum(bool(row["error"]) for _, row in open_table(out, as_is=True).rows if isinstance(row, dict))
    with out.open("rb") as handle:
        return sum(map(is_failed_row, handle))


def _row(line: dict[str, Any], labels: Sequence[str], more: Sequence[str]) -> dict[str, Any]:
    probabilities = line.get("probabilities", {})
    row = {"id": line["id"], "labels": line.get("labels")}
    row |= {label: probabilities.get(label) for label in labels} | {"error": line.get("error")}
    return row | {name: line.get(name) for name in more}


def _write_text(
    rows: Iterable[dict[str, Any]], path: Path, separator: str, labels: Sequence[str], more: Sequence[str]
) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, _columns(labels, more), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            names, ask = row["labels"], row.get("ask")
            row |= {"labels": None if names is None else json.dumps(names, ensure_ascii=False)}
            writer.writerow(row | ({"ask": json.dumps(ask)} if isinstance(ask, bool) else {}))


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path, labels: Sequence[str], more: Sequence[str]) -> None:
    pa, parquet = _pyarrow(path)
    types = {"id": pa.string(), "labels": pa.list_(pa.string()), "ask": pa.bool_()}
    types |= dict.fromkeys(labels, pa.float64())
    schema = pa.schema([(name, types.get(name, pa.string())) for name in _columns(labels, more)])
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def _columns(labels: Sequence[str], more: Sequence[str]) -> list[str]:
    return ["id", "labels", *labels, "error", *more]


def _pyarrow(path: Path) -> tuple[Any, Any]:
    pa, parquet = (require(module, f"{path}: writing it") for module in ("pyarrow", "pyarrow.parquet"))
    return pa, parquet
