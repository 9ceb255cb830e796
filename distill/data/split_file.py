"""Divides one labelled file into train, dev and test files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distill.core.errors import DataError
from distill.core.files import atomic_folder, refuse_filled, sha256_of, write_json, write_text
from distill.core.terminal import warn
from distill.core.untrusted import short_repr
from distill.data.checks import look_alikes, refuse_unknown_labels
from distill.data.dataset import (
    Example,
    check_ids,
    collect_labels,
    encode_targets,
    examples_to_json,
    find_labels,
    parse_example,
    read_rows,
)
from distill.data.division import Order, divide
from distill.data.image_names import is_data_url, is_on_web
from distill.data.stratify import SHARES
from distill.data.time_order import parse_time


@dataclass(frozen=True)
class OrderColumns:
    """The columns that say what stays together and what comes first; "" for none."""

    group: str = ""
    time: str = ""


def split_file(source: Path, out: Path, seed: int, columns: OrderColumns | None = None) -> tuple[int, ...]:
    """Write train.json, dev.json, test.json, labels.txt and split.json (source, seed, counts) to a new folder, and
    return the sizes of the splits.

    Images stay where they are; addresses on the web are kept as they stand. The same seed gives the same splits.
    Raises DataError.
    """
    columns = columns or OrderColumns()
    refuse_filled(out)
    out = out.resolve()  # paths of images are relative to the folder itself, not to a link
    rows, image_names, order = _read(source, columns)
    labels = find_labels(source.parent) or collect_labels(rows, source)
    for line in look_alikes(labels):
        warn(f"{source}: {line}")
    refuse_unknown_labels([(source.name, row) for row in rows], labels, None)
    targets = encode_targets(rows, labels)
    parts = divide(rows, labels, source, seed, order)
    with atomic_folder(out) as folder:
        positives = {}
        for name, part in zip(SHARES, parts, strict=True):
            chosen = [rows[index] for index in part]
            write_text(folder / f"{name}.json", examples_to_json(chosen, folder, image_names))
            counts = np.nansum(targets[part], axis=0)
            positives[name] = {label: int(n) for label, n in zip(labels.names, counts, strict=True)}
        write_text(folder / "labels.txt", "\n".join(labels.names) + "\n")
        record = {"source": source.name, "sha256": sha256_of(source), "seed": seed, "columns": asdict(columns)}
        write_json(folder / "split.json", record | {"shares": SHARES, "positives": positives})
    return tuple(len(part) for part in parts)


def _read(source: Path, columns: OrderColumns) -> tuple[list[Example], dict[str, str], Order]:
    """The rows, by their ids the names of those images that are no files, and what is read of them besides. Raises
    DataError."""
    rows, image_names, groups, times = [], {}, [], []
    for number, row in read_rows(source):
        name = row.get("image") if isinstance(row, dict) else None
        is_address = isinstance(name, str) and is_on_web(name)
        # A row with an address is validated like any other, under a placeholder for the image's file name.
        example = parse_example(row | {"image": "image"} if is_address else row, source, number)
        if isinstance(name, str) and (is_address or is_data_url(name)):
            image_names[example.id] = name
        where = f"{source}: row {number}"
        if columns.group:
            groups.append(_group(row, columns.group, where))
        if columns.time:
            times.append(parse_time(_cell(row, columns.time, where), f"{where}: {columns.time}"))
        rows.append(example)
    check_ids(rows, source)
    addresses = {id_: name for id_, name in image_names.items() if is_on_web(name)}
    if addresses:
        warn(
            f"{source}: {len(addresses)} of {len(rows)} images are addresses on the web, which are kept and never "
            "fetched: save them to files before training"
        )
    return rows, image_names, Order(tuple(groups), tuple(times), addresses)


def _cell(row: dict[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise DataError(f"{where}: has no column {column!r}; it has {', '.join(map(short_repr, row))}")
    return row[column]


def _group(row: dict[str, Any], column: str, where: str) -> str | None:
    """The name of a row's group; None for an empty cell, which is no group."""
    value = _cell(row, column, where)
    if not isinstance(value, str | int | float | None):
        raise DataError(f"{where}: {column} is {short_repr(value)}; a group is named by a text or a number")
    return None if value is None or value == "" else str(value)
