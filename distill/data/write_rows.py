"""Writes rows of any columns as JSON Lines, CSV, TSV or Parquet, by the suffix of the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.core.errors import OutputError
from distill.core.extras import require
from distill.core.output.printable import printable
from distill.core.storage.files import explain_write_errors, hidden_path, write_text
from distill.core.untrusted import replace_surrogates

LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
SUFFIXES = (*LINES, *SEPARATORS, PARQUET)

Row = dict[str, Any]


def check_suffix(out: Path) -> None:
    """Raise OutputError for a file of another suffix, InstallError where what writes it is missing."""
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(
            f"{out}: the suffix must be one of {', '.join(SUFFIXES)}; name it {out.with_suffix('.jsonl').name}"
        )
    if suffix == PARQUET:
        require("pyarrow", f"{out}: writing it")


def write_rows(rows: Sequence[Row], out: Path) -> None:
    """Write the file whole or not at all; a column that a row lacks is empty there. Raises OutputError."""
    suffix = out.suffix.lower()
    if suffix == PARQUET:
        _write_parquet(rows, out)
    elif suffix in SEPARATORS:
        write_text(out, _text(rows, SEPARATORS[suffix]))
    else:
        lines = (_json({name: value if value == value else None for name, value in row.items()}) for row in rows)
        write_text(out, "".join(f"{printable(line)}\n" for line in lines))


def _json(value: Any) -> str:
    """JSON, with dates and the like as text. Raises OutputError for bytes."""

    def plain(part: Any) -> str:
        if isinstance(part, bytes):
            raise OutputError("a column holds binary values, which text cannot hold; write a .parquet file")
        return str(part)

    return replace_surrogates(json.dumps(value, ensure_ascii=False, default=plain))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _text(rows: Sequence[Row], separator: str) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns_of(rows), restval="", lineterminator="\n", delimiter=separator)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return replace_surrogates(buffer.getvalue())


def _cell(value: Any) -> Any:
    """Lists, tables and truth values as JSON; None is an empty cell."""
    return _json(value) if isinstance(value, list | dict | bool | bytes) else value


def _write_parquet(rows: Sequence[Row], out: Path) -> None:
    pa, parquet = (require(module, f"{out}: writing it") for module in ("pyarrow", "pyarrow.parquet"))
    try:
        table = pa.Table.from_pylist(list(rows), pa.schema([(n, _type(pa, rows, n)) for n in columns_of(rows)]))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise OutputError(
            f"{out}: a column holds values of several kinds ({error}); write {out.with_suffix('.jsonl').name}"
        ) from error
    with explain_write_errors(out), hidden_path(out, "part") as temporary:
        parquet.write_table(table, temporary)
        temporary.replace(out)


def _type(pa: Any, rows: Sequence[Row], name: str) -> Any:
    """What holds all values of a column; text where there are none."""
    kind = pa.array([row.get(name) for row in rows]).type
    return pa.string() if pa.types.is_null(kind) else kind
