"""Divides one labelled file into train, dev and test files."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError, ImageError
from distill.core.files import atomic_folder, sha256_of, write_json, write_text
from distill.core.terminal import warn
from distill.data.checks import image_hash, look_alikes, refuse_unknown_labels
from distill.data.columns import Columns
from distill.data.dataset import (
    Example,
    collect_labels,
    encode_targets,
    examples_of,
    examples_to_json,
    find_labels,
)
from distill.data.image_names import is_data_url, is_on_web
from distill.data.labels import LabelSet
from distill.data.likeness import groups_of, text_key
from distill.data.roles import Ask
from distill.data.rows import open_rows
from distill.data.stratify import SHARES, SPLIT_SEED, stratified_split


def split_file(source: Path, out: Path, seed: int, columns: Columns | None = None) -> tuple[int, ...]:
    """Write train.json, dev.json, test.json, labels.txt and split.json (source, seed, counts) to a new folder, and
    return the sizes of the splits.

    Images stay where they are; addresses on the web are kept as they stand. The same seed gives the same splits.
    `columns` are those that the user names. Raises DataError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not empty; choose a new folder for --out")
    out = out.resolve()  # paths of images are relative to the folder itself, not to a link
    labels = find_labels(source.parent)
    rows, image_names = _read(source, Ask(columns or Columns(), labels=labels))
    labels = labels or collect_labels(rows, source)
    for line in look_alikes(labels):
        warn(f"{source}: {line}")
    refuse_unknown_labels([(source.name, row) for row in rows], labels, None)
    targets = encode_targets(rows, labels)
    parts = divide(rows, labels, source, seed, image_names)
    with atomic_folder(out) as folder:
        positives = {}
        for name, part in zip(SHARES, parts, strict=True):
            chosen = [rows[index] for index in part]
            write_text(folder / f"{name}.json", examples_to_json(chosen, folder, image_names))
            counts = np.nansum(targets[part], axis=0)
            positives[name] = {label: int(n) for label, n in zip(labels.names, counts, strict=True)}
        write_text(folder / "labels.txt", "\n".join(labels.names) + "\n")
        record = {"source": source.name, "sha256": sha256_of(source), "seed": seed}
        write_json(folder / "split.json", record | {"shares": SHARES, "positives": positives})
    return tuple(len(part) for part in parts)


def divide(
    rows: Sequence[Example],
    labels: LabelSet,
    source: Path,
    seed: int = SPLIT_SEED,
    image_names: dict[str, str] | None = None,
    names: Sequence[str] = tuple(SHARES),
) -> list[NDArray[np.int64]]:
    """The row indices of the splits `names`. Rows with the same text, up to how it is written, or the same image
    stay together. `image_names` are those of images that cannot be read, by id. Raises DataError."""
    # `check_splits` reports labels outside the set, all of them at once.
    known = frozenset(labels.names)
    inside = [[label for label in row.labels or () if label in known] for row in rows]
    total = sum(SHARES[name] for name in names)
    groups = groups_of([list(_keys(row, image_names or {})) for row in rows])
    try:
        return stratified_split(labels.encode(inside), tuple(SHARES[name] / total for name in names), seed, groups)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def _keys(row: Example, image_names: dict[str, str]) -> list[Hashable]:
    keys: list[Hashable] = [("text", key)] if (key := text_key(row.text)) else []
    if row.id in image_names:
        keys.append(("image", image_names[row.id]))
    elif row.image is not None:
        try:
            keys.append(("image", image_hash(row.image)))
        except ImageError:  # reported before a training, with all others
            keys.append(("image", str(row.image)))
    return keys


def _read(source: Path, ask: Ask) -> tuple[list[Example], dict[str, str]]:
    """The rows, and by their ids the names of those images that are no files. Raises DataError."""
    opened = open_rows(source, ask)
    addresses: dict[int, str] = {}  # by the index of the row

    def without_addresses() -> Iterator[tuple[int, dict[str, Any] | DataError]]:
        column = opened.reader.roles.image
        for index, (number, row) in enumerate(opened.rows):
            name = row.get(column) if column and isinstance(row, dict) else None
            if isinstance(name, str) and (is_on_web(name) or is_data_url(name)):
                addresses[index] = name
            # A row with an address is validated like any other, under a placeholder for the image's file name.
            if isinstance(row, dict) and isinstance(name, str) and is_on_web(name):
                row = row | {column: "image"}
            yield number, row

    rows = examples_of(replace(opened, rows=without_addresses()))
    if on_web := sum(map(is_on_web, addresses.values())):
        warn(
            f"{source}: {on_web} of {len(rows)} images are addresses on the web, which are kept and never fetched: "
            "save them to files before training"
        )
    return rows, {rows[index].id: name for index, name in addresses.items()}
