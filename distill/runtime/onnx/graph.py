"""The nodes and constants of an ONNX file, read without onnx or a runtime. Knows their names and shapes, skips
attributes and the weights themselves.

The field numbers are those of onnx.proto: GraphProto, NodeProto and TensorProto.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distill.core.errors import BundleError
from distill.runtime.onnx.file import BYTES, GRAPH, VARINT, fields, varint

NODE, INITIALIZER = 1, 5
INPUT, OUTPUT, NODE_NAME, OP_TYPE = 1, 2, 3, 4
DIMS, DATA_TYPE, TENSOR_NAME = 1, 2, 8

# TensorProto.DataType
FLOAT, UINT8, INT8, INT32, INT64, UINT4, INT4 = 1, 2, 3, 6, 7, 21, 22


@dataclass(frozen=True)
class Node:
    """One operator; `input` and `output` name tensors, "" an optional one that is left out."""

    name: str
    op_type: str
    input: tuple[str, ...]
    output: tuple[str, ...]


@dataclass(frozen=True)
class Initializer:
    """One constant: its shape and its TensorProto.DataType."""

    name: str
    dims: tuple[int, ...]
    data_type: int


@dataclass(frozen=True)
class Graph:
    """In the file's order, in which every tensor comes before its use; the fields have onnx's own names."""

    node: tuple[Node, ...]
    initializer: tuple[Initializer, ...]


def read(path: Path) -> Graph:
    """Raises BundleError for a file that is not there, is damaged or holds no graph."""
    nodes: list[Node] = []
    initializers: list[Initializer] = []
    found = False
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            for field in fields(handle, size):
                if field.number != GRAPH or field.kind != BYTES:
                    continue
                found = True
                for part in fields(handle, handle.tell() + field.value):
                    end = handle.tell() + part.value
                    if part.number == NODE and part.kind == BYTES:
                        nodes.append(_node(handle, end))
                    elif part.number == INITIALIZER and part.kind == BYTES:
                        initializers.append(_initializer(handle, end))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}") from error
    if not found:
        raise BundleError(f"{path}: is no ONNX file: it holds no graph")
    return Graph(tuple(nodes), tuple(initializers))


def _node(handle: BinaryIO, end: int) -> Node:
    texts: dict[int, list[str]] = {INPUT: [], OUTPUT: [], NODE_NAME: [], OP_TYPE: []}
    for field in fields(handle, end):
        if field.number in texts and field.kind == BYTES:
            texts[field.number].append(handle.read(field.value).decode("utf-8"))
    name, op_type = ((texts[number] or [""])[-1] for number in (NODE_NAME, OP_TYPE))
    return Node(name, op_type, tuple(texts[INPUT]), tuple(texts[OUTPUT]))


def _initializer(handle: BinaryIO, end: int) -> Initializer:
    name, data_type = "", 0
    dims: list[int] = []
    for field in fields(handle, end):
        if field.number == TENSOR_NAME and field.kind == BYTES:
            name = handle.read(field.value).decode("utf-8")
        elif field.number == DATA_TYPE and field.kind == VARINT:
            data_type = field.value
        elif field.number == DIMS and field.kind == VARINT:
            dims.append(field.value)
        elif field.number == DIMS and field.kind == BYTES:  # protobuf may pack numbers into one field
            packed = handle.tell() + field.value
            while handle.tell() < packed:
                dims.append(varint(handle))
    if any(size >= 1 << 63 for size in dims):
        raise ValueError(f"the constant {name!r} has a negative size")
    return Initializer(name, tuple(dims), data_type)
