"""Divides one labelled file into train, dev and test files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.core.errors import DataError
from distill.core.output.terminal import warn
from distill.core.storage.files import (
    atomic_folder,
    refuse_existing,
    refuse_overwriting,
    sha256_of,
    write_json,
    write_text,
)
from distill.core.untrusted import short_repr
from distill.data.checks import look_alikes, refuse_unknown_labels
from distill.data.column_survey import EMPTY_WORDS, is_missing
from distill.data.columns import Columns, list_columns
from distill.data.dataset import (
    Example,
    ReadBefore,
    collect_labels,
    encode_targets,
    examples_of,
    examples_to_json,
    find_labels,
)
from distill.data.dividing.division import Order, divide
from distill.data.dividing.stratify import SHARES
from distill.data.dividing.time_notation import Notations
from distill.data.dividing.time_order import parse_time
from distill.data.formats.folders import ALL, Part, find_parts
from distill.data.formats.table import NumberedRow, Table
from distill.data.image_names import is_data_url, is_on_web
from distill.data.roles import Ask
from distill.data.rows import OpenRows, open_rows

RECORD = "split.json"


@dataclass(frozen=True)
class OrderColumns:
    """The columns of the file itself that say what stays together and what comes first; "" for none."""

    group: str = ""
    time: str = ""


def split_file(
    source: Path,
    out: Path,
    seed: int,
    columns: Columns | None = None,
    order: OrderColumns | None = None,
    overwrite: bool = False,
) -> tuple[int, ...]:
    """Write train.json, dev.json, test.json, labels.txt and split.json (source, seed, counts) of a file, or of a
    folder that is not divided, to a new folder, or in place of such a one to `overwrite`, and return the sizes of
    the splits.

    Images stay where they are; addresses on the web are kept as they stand. The same seed gives the same splits.
    `columns` and `order` are those that the user names. Raises DataError and OutputError.
    """
    columns, order = columns or Columns(), order or OrderColumns()
    refuse_overwriting(out, source)
    refuse_existing(out, overwrite, lambda folder: (folder / RECORD).is_file(), "a split dataset")
    out = out.resolve()  # paths of images are relative to the folder itself, not to a link
    whole = _undivided_part(source, columns, order)
    labels = find_labels(source if source.is_dir() else source.parent)
    rows, image_names, known, read = _read(whole, Ask(columns, labels=labels), order)
    labels = labels or collect_labels(rows, source, read)
    for line in look_alikes(labels):
        warn(f"{source}: {line}")
    refuse_unknown_labels([(source.name, row) for row in rows], labels, None)
    targets = encode_targets(rows, labels)
    parts = divide(rows, labels, source, seed, known)
    for line in _lopsided(dict(zip(SHARES, map(len, parts), strict=True))):
        warn(f"{source}: {line}")
    with atomic_folder(out) as folder:
        positives = {}
        for name, part in zip(SHARES, parts, strict=True):
            chosen = [rows[index] for index in part]
            write_text(folder / f"{name}.json", examples_to_json(chosen, folder, image_names, labels.names))
            counts = np.nansum(targets[part], axis=0)
            positives[name] = {label: int(n) for label, n in zip(labels.names, counts, strict=True)}
        write_text(folder / "labels.txt", "\n".join(labels.names) + "\n")
        content = None if whole.path.is_dir() else sha256_of(whole.path)
        record = {"source": source.name, "sha256": content, "seed": seed}
        named = {"columns": columns.to_json() | asdict(order)}
        write_json(folder / RECORD, record | named | {"shares": SHARES, "positives": positives})
    return tuple(len(part) for part in parts)


def _lopsided(sizes: dict[str, int]) -> Iterator[str]:
    """A warning of splits of less than half the share that they are to have; none of a few rows."""
    rows = sum(sizes.values())
    small = [
        f"{name} has {sizes[name] / rows:.0%} of the rows in place of {share:.0%}"
        for name, share in SHARES.items()
        if sizes[name] + 1 < share * rows / 2
    ]
    if small:
        yield f"{', '.join(small)}: what stays together is large; name another column, or give more rows"


def _undivided_part(source: Path, columns: Columns, order: OrderColumns) -> Part:
    """The rows to divide. Raises DataError for a folder that has splits, or no rows."""
    if not source.is_dir():
        return Part.of(source)
    said = replace(columns, labels=(*columns.labels, *filter(None, (order.group, order.time))))
    parts = find_parts(source, said).parts
    if ALL in parts:
        return parts[ALL][0]
    if not parts:
        raise DataError(f"{source}: holds no dataset that is known (see docs/data.md); give a file of rows")
    example = next(iter(parts.values()))[0].path
    raise DataError(
        f"{source}: is divided already, into {', '.join(parts)}; to divide one of its files, give that, such as "
        f"{example}"
    )


def _read(part: Part, ask: Ask, columns: OrderColumns) -> tuple[list[Example], dict[str, str], Order, ReadBefore]:
    """The rows, by their ids the names of those images that are no files, what is read of them besides, and how.
    Raises DataError."""
    source, read = part.path, ReadBefore()
    cells = _OrderCells(columns, part)
    opened = open_rows(source, replace(ask, others=(columns.group, columns.time)), opened=cells.open)
    names: dict[int, str] = {}  # by the index of the row
    rows = examples_of(replace(opened, rows=_without_addresses(opened, names)), read, part.name)
    image_names = {rows[index].id: name for index, name in names.items()}
    addresses = {id_: name for id_, name in image_names.items() if is_on_web(name)}
    if addresses:
        warn(
            f"{source}: {len(addresses)} of {len(rows)} images are addresses on the web, which are kept and never "
            "fetched: save them to files before training"
        )
    order = Order(tuple(cells.groups), tuple(cells.times), addresses)
    return rows, image_names, order, read


def _without_addresses(opened: OpenRows, names: dict[int, str]) -> Iterator[NumberedRow]:
    """The rows, with the names of images that are no files put into `names` by the index of the row."""
    column = opened.reader.roles.image
    for index, (number, row) in enumerate(opened.rows):
        name = row.get(column) if column and isinstance(row, dict) else None
        if isinstance(name, str) and (is_on_web(name) or is_data_url(name)):
            names[index] = name
        # A row with an address is validated like any other, under a placeholder for the image's file name.
        if isinstance(row, dict) and isinstance(name, str) and is_on_web(name):
            row = row | {column: "image"}
        yield number, row


@dataclass
class _OrderCells:
    """Reads the group and the time of each row as it passes by, before a published form is read into its columns.
    A file may be read more than once: the last time counts."""

    columns: OrderColumns
    part: Part
    groups: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def open(self, path: Path, as_is: bool) -> Table:
        """The part's table, with an ear at its rows."""
        table = self.part.open(path, as_is)
        return replace(table, rows=self._listen(table, path))

    def _listen(self, table: Table, path: Path) -> Iterator[NumberedRow]:
        self.groups.clear()
        self.times.clear()
        notations = Notations()
        for number, row in table.rows:
            where = f"{path}: row {number}"
            if self.columns.group and isinstance(row, dict):
                self.groups.append(_group(row, self.columns.group, where, table.is_text))
            if self.columns.time and isinstance(row, dict):
                cell = _cell(row, self.columns.time, where)
                self.times.append(parse_time(cell, f"{where}: {self.columns.time}"))
                notations.add(cell, self.times[-1], number)
            yield number, row
        try:
            notations.check(self.columns.time)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _cell(row: dict[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise DataError(f"{where}: has no column {short_repr(column)}; it has {list_columns(row)}")
    return row[column]


def _group(row: dict[str, Any], column: str, where: str, is_text: bool) -> str | None:
    """The name of a row's group; None for an empty cell, which is no group."""
    value = _cell(row, column, where)
    if is_missing(value) or (is_text and value in EMPTY_WORDS):
        return None
    if not isinstance(value, str | int | float):
        raise DataError(f"{where}: {column} is {short_repr(value)}; a group is named by a text or a number")
    return str(value)
