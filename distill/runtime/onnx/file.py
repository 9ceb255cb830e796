"""What an ONNX file says beside its graph, read without onnx or a runtime. Knows its outermost fields.

An ONNX file is one protobuf message (onnx.proto, ModelProto): field 7 is the graph, field 14 a list of names and
values that anybody may add. Everything is bounded by the file's own size.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from distill.core.errors import BundleError

GRAPH, METADATA = 7, 14
MAX_METADATA = 128 << 20  # bytes of all names and values; a large tokenizer has 30 MB
MAX_FIELDS = 1_000_000  # of one message; bounds the time to look at them
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxFile:
    """`metadata` by name, and the hex SHA-256 of the graph's bytes, which hold every weight."""

    metadata: dict[str, str]
    graph_sha256: str


class Field(NamedTuple):
    """One field of a protobuf message: `value` is a VARINT's number, and how many bytes any other kind takes."""

    number: int
    kind: int
    value: int


def read(path: Path) -> OnnxFile:
    """Raises BundleError for a file that is not there or is no ONNX file."""
    metadata: dict[str, str] = {}
    graph = hashlib.sha256()
    left = MAX_METADATA
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            for field in fields(handle, size):
                if field.kind != BYTES:
                    continue
                if field.number == GRAPH:
                    _digest(handle, field.value, graph)
                elif field.number == METADATA:
                    left -= field.value
                    if left < 0:
                        raise ValueError(f"its metadata have more than {MAX_METADATA:,} bytes")
                    name, value = _entry(handle.read(field.value))
                    if name in metadata:
                        raise ValueError(f"its metadata have {name[:80]!r} twice")
                    metadata[name] = value
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}") from error
    return OnnxFile(metadata, graph.hexdigest())


def fields(handle: BinaryIO, end: int) -> Iterator[Field]:
    """The fields of the message that begins here and ends at byte `end`. Whoever takes one finds the handle at the
    first byte of its content and may leave it anywhere. Raises ValueError where the bytes are no message."""
    count = 0
    while handle.tell() < end:
        count += 1
        if count > MAX_FIELDS:
            raise ValueError(f"it has more than {MAX_FIELDS:,} fields in one message")
        number, kind = divmod(varint(handle), 8)
        if kind in (VARINT, BYTES):
            value = varint(handle)
        elif kind in (FIXED64, FIXED32):
            value = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"it has a field of the unknown kind {kind}")
        after = handle.tell() + (0 if kind == VARINT else value)
        if after > end:
            raise ValueError("it is cut off")
        yield Field(number, kind, value)
        handle.seek(after)


def varint(handle: BinaryIO) -> int:
    """The number that begins here, of up to 64 bits and without a sign. Raises ValueError."""
    value = shift = 0
    while byte := handle.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value & (1 << 64) - 1
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
    raise ValueError("it ends inside a number")


def _digest(handle: BinaryIO, length: int, digest: hashlib._Hash) -> None:
    while length:
        piece = handle.read(min(length, 1 << 20))
        if not piece:
            raise ValueError("it became shorter while it was read")
        digest.update(piece)
        length -= len(piece)


def _entry(content: bytes) -> tuple[str, str]:
    """One name and its value: fields 1 and 2, both UTF-8."""
    handle, found = io.BytesIO(content), {1: b"", 2: b""}
    for place, field in enumerate(fields(handle, len(content))):
        if field.kind != BYTES or place > 1:
            raise ValueError("its metadata are not a name and a text each")
        found[field.number] = handle.read(field.value)
    return found[1].decode("utf-8"), found[2].decode("utf-8")
