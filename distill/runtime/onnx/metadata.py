"""Reads an ONNX file's metadata and the hash of its graph, without onnx or onnxruntime.

An ONNX file is one protobuf message (onnx.proto, ModelProto). Field 14 lists names and values that anybody may add;
`distill export --embed` stores a whole Bundle there.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distill.core.errors import BundleError
from distill.runtime.onnx.graph import GRAPH
from distill.runtime.onnx.protobuf import BYTES, read_fields

METADATA = 14
MAX_METADATA = 128 << 20  # bytes of all names and values; a large tokenizer has 30 MB


@dataclass(frozen=True)
class OnnxMetadata:
    """The metadata by name, and the hex SHA-256 of the graph's bytes, which hold every weight."""

    entries: dict[str, str]
    graph_sha256: str


def read_metadata(path: Path) -> OnnxMetadata:
    """Raises BundleError for a file that is missing or not ONNX."""
    entries: dict[str, str] = {}
    graph = hashlib.sha256()
    left = MAX_METADATA
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            for field in read_fields(handle, size):
                if field.wire_type != BYTES:
                    continue
                if field.number == GRAPH:
                    _update(graph, handle, field.value)
                elif field.number == METADATA:
                    left -= field.value
                    if left < 0:
                        raise ValueError(f"its metadata have more than {MAX_METADATA:,} bytes")
                    name, value = _entry(handle.read(field.value))
                    if name in entries:
                        raise ValueError(f"its metadata have {name[:80]!r} twice")
                    entries[name] = value
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}; get the file again") from error
    return OnnxMetadata(entries, graph.hexdigest())


def _update(digest: hashlib._Hash, handle: BinaryIO, length: int) -> None:
    while length:
        piece = handle.read(min(length, 1 << 20))
        if not piece:
            raise ValueError("it became shorter while it was read")
        digest.update(piece)
        length -= len(piece)


def _entry(content: bytes) -> tuple[str, str]:
    """One name and its value: fields 1 and 2 of a StringStringEntryProto, both UTF-8."""
    handle, texts = io.BytesIO(content), {1: b"", 2: b""}
    for place, field in enumerate(read_fields(handle, len(content))):
        if field.wire_type != BYTES or place > 1:
            raise ValueError("its metadata are not pairs of a name and a text")
        texts[field.number] = handle.read(field.value)
    return texts[1].decode("utf-8"), texts[2].decode("utf-8")
