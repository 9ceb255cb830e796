"""Reads FlatBuffers tables field by field, without the flatbuffers package and within the file's bounds.

Binary format: https://flatbuffers.dev/internals/. Each table says in a vtable where its fields are; a field's
number is its place in the schema, from 0.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_TEXT = 1024  # bytes of a name that is read
MAX_STEPS = 2_000_000  # tables of one file; bounds the time to read them, since tables may be named twice


class Steps:
    """How many tables a reader may still open. Raises ValueError when there are too many."""

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def take(self) -> None:
        """Count one table."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it has more than {MAX_STEPS:,} tables")


@dataclass(frozen=True)
class Table:
    """A table at byte `at` of a file. Every method raises ValueError for what lies outside of the file."""

    data: mmap.mmap | bytes
    at: int
    steps: Steps

    def __post_init__(self) -> None:
        self.steps.take()

    def has(self, field: int) -> bool:
        """Whether the field is there; one that is not has its default value."""
        return bool(self._place(field))

    def number(self, field: int, kind: str, default: int) -> int:
        """An integer of the struct format `kind`, such as "i"."""
        place = self._place(field)
        return self._read(kind, place) if place else default

    def text(self, field: int) -> bytes:
        """A name's bytes; b"" if it is not there."""
        place = self._place(field)
        if not place:
            return b""
        start, length = self._vector(place)
        if length > MAX_TEXT:
            raise ValueError(f"it has a name of {length:,} bytes")
        self._check(start + length)
        return bytes(self.data[start : start + length])

    def table(self, field: int) -> Table | None:
        """The table that the field points to."""
        place = self._place(field)
        return Table(self.data, place + self._read("I", place), self.steps) if place else None

    def length(self, field: int) -> int:
        """The number of a vector's elements, 0 if it is not there."""
        place = self._place(field)
        return self._vector(place)[1] if place else 0

    def tables(self, field: int) -> Iterator[Table]:
        """The tables of a vector."""
        place = self._place(field)
        start, length = self._vector(place) if place else (0, 0)
        for at in range(start, start + 4 * length, 4):
            yield Table(self.data, at + self._read("I", at), self.steps)

    def _place(self, field: int) -> int:
        """Where the field's value is; 0 if the table does not have it."""
        vtable = self.at - self._read("i", self.at)
        entry = 4 + 2 * field
        if entry + 2 > self._read("H", vtable):
            return 0
        offset = self._read("H", vtable + entry)
        return self.at + offset if offset else 0

    def _vector(self, place: int) -> tuple[int, int]:
        """The first byte and the length of the vector or string that a field points to."""
        start = place + self._read("I", place)
        return start + 4, self._read("I", start)

    def _read(self, kind: str, place: int) -> int:
        self._check(place + struct.calcsize(kind))
        value: int = struct.unpack_from(f"<{kind}", self.data, place)[0]
        return value

    def _check(self, end: int) -> None:
        if not 0 <= end <= len(self.data):
            raise ValueError("it is cut off")


def open_table(path: Path, identifier: bytes) -> Table:
    """The root table of a file with this identifier of four bytes. Raises ValueError and OSError."""
    with path.open("rb") as handle:
        data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)  # an empty file raises ValueError
    if data[4:8] != identifier:
        raise ValueError(f"it does not begin as one, with {identifier.decode()} after four bytes")
    return Table(data, struct.unpack_from("<I", data, 0)[0], Steps())
