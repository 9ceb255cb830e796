"""Builds small FlatBuffers files by field number, for the guards of LiteRT's and onnxruntime's own format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

Fields = Mapping[
    int, Any
]  # a table's field numbers and values: bytes, a number, a dict (a table), a list (of tables)


@dataclass(frozen=True)
class Number:
    """An integer of a flatbuffers type, such as "Int64"."""

    kind: str
    value: int


def flat_file(identifier: bytes, root: Fields) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: Any, fields: Fields) -> int:
    placed = {field: _place(builder, value) for field, value in fields.items()}
    builder.StartObject(max(fields, default=-1) + 1)
    for field, value in placed.items():
        if isinstance(value, Number):
            getattr(builder, f"Prepend{value.kind}Slot")(field, value.value, None)
        else:
            builder.PrependUOffsetTRelativeSlot(field, value, 0)
    return int(builder.EndObject())


def _place(builder: Any, value: Any) -> Any:
    if isinstance(value, bytes):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _table(builder, value)
    if isinstance(value, Sequence):
        places = [_table(builder, part) for part in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    return value


def ort_file(node: Fields | None = None, graph: Fields | None = None) -> bytes:
    """A graph of one node in onnxruntime's format."""
    nodes = [{5: b"MatMul", 2: b""} | dict(node or {})]
    return flat_file(b"ORTM", {0: b"1.32.0", 1: {7: {2: nodes} | dict(graph or {})}})


def litert_file(model: Fields | None = None, code: int = 9, tensor: Fields | None = None) -> bytes:
    """A graph of one operator and one tensor in LiteRT's format."""
    graph = {0: [{3: b"logits"} | dict(tensor or {})]}
    return flat_file(b"TFL3", {1: [{3: Number("Int32", code)}], 2: [graph], 4: [{}]} | dict(model or {}))
