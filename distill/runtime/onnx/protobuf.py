"""Reads protobuf messages field by field, and writes them, without the protobuf package.

Wire format: https://protobuf.dev/programming-guides/encoding/. Time and memory are bounded by the file's own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
MAX_FIELDS = 1_000_000  # of one message; bounds the time to read it


class Field(NamedTuple):
    """One field of a message. `value` is the number of a VARINT; of any other wire type, its size in bytes."""

    number: int
    wire_type: int
    value: int


class Content(Protocol):
    """What is read: a file, or a file that is mapped into memory, which costs fewer calls of the system."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""

    def seek(self, position: int, /) -> Any:
        """Go to this byte."""

    def tell(self) -> int:
        """The byte that is read next."""


def read_fields(handle: Content, end: int) -> Iterator[Field]:
    """Yield the fields of the message that starts at the handle's position and ends at byte `end`.

    At each field the handle stands at the first byte of its content; the caller may leave it anywhere. Raises
    ValueError for bytes that are no message.
    """
    count = 0
    while handle.tell() < end:
        count += 1
        if count > MAX_FIELDS:
            raise ValueError(f"it has more than {MAX_FIELDS:,} fields in one message")
        number, wire_type = divmod(read_varint(handle), 8)
        if wire_type in (VARINT, BYTES):
            value = read_varint(handle)
        elif wire_type in (FIXED64, FIXED32):
            value = 8 if wire_type == FIXED64 else 4
        else:
            raise ValueError(f"it has a field of the unknown wire type {wire_type}")
        after = handle.tell() + (0 if wire_type == VARINT else value)
        if after > end:
            raise ValueError("it is cut off")
        yield Field(number, wire_type, value)
        handle.seek(after)


def read_varint(handle: Content) -> int:
    """Read one unsigned number of up to 64 bits. Raises ValueError."""
    value = shift = 0
    while byte := handle.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value & (1 << 64) - 1
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
    raise ValueError("it ends inside a number")


def field_start(number: int, size: int) -> bytes:
    """What stands before the content of a field of type BYTES that has `size` bytes."""
    return varint(8 * number + BYTES) + varint(size)


def field_bytes(number: int, content: bytes) -> bytes:
    """A field of type BYTES."""
    return field_start(number, len(content)) + content


def varint(value: int) -> bytes:
    """One unsigned number."""
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
