"""Which rows of one labelled file are for train, dev and test: decided once, and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.output.terminal import track
from distill.core.storage.cache import cache_folder, optional_write
from distill.core.storage.files import write_bytes
from distill.data.dataset import Example
from distill.data.dividing.stratify import SHARES, SPLIT_SEED, stratified_split
from distill.data.dividing.time_order import time_split
from distill.data.duplicates import image_groups
from distill.data.image_facts import read_facts
from distill.data.labels import LabelSet
from distill.data.likeness import groups_of, text_key

VERSION = 2  # raise it with every change of how rows are divided, which must miss the cache


@dataclass(frozen=True)
class Order:
    """What besides their content says where rows belong. `groups` has the name of each row's group, None for a row
    without one, and `times` each row's; both are empty where nothing is known. `addresses` are the images that are
    not here, by the ids of their rows."""

    groups: tuple[str | None, ...] = ()
    times: tuple[float, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)


def divide(
    rows: Sequence[Example],
    labels: LabelSet,
    source: Path,
    seed: int = SPLIT_SEED,
    order: Order | None = None,
    names: Sequence[str] = tuple(SHARES),
) -> list[NDArray[np.int64]]:
    """The row indices of the splits `names`, in their order.

    Rows of one group stay together, and so do rows with the same text, up to how it is written, or with images that
    look the same. Without times, each label keeps its share in each part; with them, train is the earliest. Raises
    DataError, which names the file `source`.
    """
    order = order or Order()
    shares = [SHARES[name] / sum(SHARES[each] for each in names) for name in names]
    path = cache_folder() / "divisions" / _digest(rows, (VERSION, seed, shares, labels.names), order)
    with suppress(OSError):
        part_of = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        if len(part_of) == len(rows) and part_of.max(initial=0) < len(names):
            return [np.flatnonzero(part_of == part) for part in range(len(names))]
    try:
        parts = _divide(rows, labels, shares, seed, order)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    part_of = np.zeros(len(rows), dtype=np.uint8)
    for number, part in enumerate(parts):
        part_of[part] = number
    with optional_write():
        write_bytes(path, part_of.tobytes())
    return parts


def _divide(
    rows: Sequence[Example], labels: LabelSet, shares: Sequence[float], seed: int, order: Order
) -> list[NDArray[np.int64]]:
    looks = image_groups(read_facts([None if row.id in order.addresses else row.image for row in rows]))
    keys = (_keys(row, looks[number], order, number) for number, row in enumerate(rows))
    groups = groups_of(track(keys, "comparing rows", len(rows)))
    count = int(groups.max(initial=-1)) + 1
    if any(order.groups) and count < len(shares):
        raise DataError(
            f"{len(rows)} rows in {count} group{'s' * (count > 1)} that stay together cannot be divided into "
            f"{len(shares)} parts; give rows of more groups, or name another column with --group-column"
        )
    if order.times:
        return time_split(np.array(order.times), shares, groups)
    # `check_splits` reports labels outside the set, all of them at once.
    names = frozenset(labels.names)
    inside = [[label for label in row.labels or () if label in names] for row in rows]
    return stratified_split(labels.encode(inside), shares, seed, groups)


def _keys(row: Example, look: int | None, order: Order, number: int) -> Iterator[Hashable]:
    """What a row must not share with a row of another part, as hashes of 64 bits, which take less memory."""
    if text := text_key(row.text):
        yield hash(("text", text))
    if order.groups and (group := order.groups[number]) is not None:
        yield hash(("group", group))
    if row.id in order.addresses:
        yield hash(("address", order.addresses[row.id]))
    elif look is not None:
        yield hash(("image", look))
    elif row.image is not None:  # cannot be read, which is reported before a training, with all others
        yield hash(("file", str(row.image)))


def _digest(rows: Sequence[Example], settings: Hashable, order: Order) -> str:
    """Hex SHA-256 of all that a division depends on; image files by their name, size and time of change."""
    digest = hashlib.sha256(repr(settings).encode())
    for number, row in enumerate(rows):
        image = order.addresses.get(row.id) or _identity(row.image)
        group = order.groups[number] if order.groups else None
        time = order.times[number] if order.times else None
        line = repr((row.text, image, row.labels, row.unknown_labels, group, time))
        digest.update(line.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _identity(image: Path | bytes | None) -> Hashable:
    if not isinstance(image, Path):
        return None if image is None else hashlib.sha256(image).hexdigest()
    try:
        status = image.stat()
    except OSError:
        return str(image)
    return str(image), status.st_size, status.st_mtime_ns
