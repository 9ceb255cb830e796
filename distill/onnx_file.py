"""What an ONNX file says beside its graph, read without onnx or a runtime. Knows its outermost fields.

An ONNX file is one protobuf message (onnx.proto, ModelProto): field 7 is the graph, field 14 a list of names and
values that anybody may add. Everything is bounded by the file's own size.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distill.errors import BundleError

GRAPH, METADATA = 7, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxFile:
    """`metadata` by name, and the hex SHA-256 of the graph's bytes, which hold every weight."""

    metadata: dict[str, str]
    graph_sha256: str


def read(path: Path) -> OnnxFile:
    """Raises BundleError for a file that is not there or is no ONNX file."""
    metadata: dict[str, str] = {}
    graph = hashlib.sha256()
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            while (tag := _varint(handle)) is not None:
                field, kind = tag >> 3, tag & 7
                if kind != BYTES:
                    _skip(handle, kind)
                    continue
                length = _length(handle, size)
                if field == GRAPH:
                    _digest(handle, length, graph)
                elif field == METADATA:
                    name, value = _entry(handle.read(length))
                    metadata[name] = value
                else:
                    handle.seek(length, io.SEEK_CUR)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}") from error
    return OnnxFile(metadata, graph.hexdigest())


def _varint(handle: BinaryIO) -> int | None:
    """The next number; None at the end of the file."""
    value = shift = 0
    while byte := handle.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
    if shift:
        raise ValueError("it ends inside a number")
    return None


def _length(handle: BinaryIO, size: int) -> int:
    length = _varint(handle)
    if length is None or length > size - handle.tell():
        raise ValueError("it is cut off")
    return length


def _skip(handle: BinaryIO, kind: int) -> None:
    if kind == VARINT:
        _varint(handle)
    elif kind in (FIXED64, FIXED32):
        handle.seek(8 if kind == FIXED64 else 4, io.SEEK_CUR)
    else:
        raise ValueError(f"it has a field of the unknown kind {kind}")


def _digest(handle: BinaryIO, length: int, digest: hashlib._Hash) -> None:
    while length:
        piece = handle.read(min(length, 1 << 20))
        digest.update(piece)
        length -= len(piece)


def _entry(content: bytes) -> tuple[str, str]:
    """One name and its value: fields 1 and 2, both UTF-8."""
    handle, found = io.BytesIO(content), {1: b"", 2: b""}
    while (tag := _varint(handle)) is not None:
        if tag & 7 != BYTES:
            raise ValueError("its metadata are not text")
        found[tag >> 3] = handle.read(_length(handle, len(content)))
    return found[1].decode("utf-8"), found[2].decode("utf-8")
