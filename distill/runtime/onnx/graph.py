"""Reads the nodes and constants of an ONNX file, without onnx or onnxruntime; weights are skipped.

The field numbers are those of onnx.proto: ModelProto, GraphProto, NodeProto and TensorProto.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distill.core.errors import BundleError
from distill.runtime.onnx.protobuf import BYTES, VARINT, Content, read_fields, read_varint

GRAPH = 7
NODE, INITIALIZER = 1, 5
INPUT, OUTPUT, NODE_NAME, OP_TYPE = 1, 2, 3, 4
DIMS, DATA_TYPE, TENSOR_NAME, RAW_DATA, EXTERNAL, LOCATION = 1, 2, 8, 9, 13, 14  # of TensorProto

# TensorProto.DataType
FLOAT, UINT8, INT8, INT32, INT64, UINT4, INT4 = 1, 2, 3, 6, 7, 21, 22


@dataclass(frozen=True)
class Node:
    """One operator. `input` and `output` name tensors; "" stands for an optional tensor that is left out."""

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
    """Nodes and constants, named as in onnx.proto. Nodes are sorted: every tensor is written before it is used."""

    node: tuple[Node, ...]
    initializer: tuple[Initializer, ...]


def read_graph(path: Path) -> Graph:
    """Raises BundleError for a file that is missing, damaged or without a graph."""
    nodes: list[Node] = []
    initializers: list[Initializer] = []
    has_graph = False
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            for field in read_fields(handle, size):
                if field.number != GRAPH or field.wire_type != BYTES:
                    continue
                has_graph = True
                for part in read_fields(handle, handle.tell() + field.value):
                    end = handle.tell() + part.value
                    if part.number == NODE and part.wire_type == BYTES:
                        nodes.append(read_node(handle, end))
                    elif part.number == INITIALIZER and part.wire_type == BYTES:
                        initializers.append(read_initializer(handle, end))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}; get the file again") from error
    if not has_graph:
        raise BundleError(f"{path}: is no ONNX file: it holds no graph; get the file again")
    return Graph(tuple(nodes), tuple(initializers))


def read_node(handle: Content, end: int) -> Node:
    """The NodeProto that ends at byte `end`. Raises ValueError."""
    texts: dict[int, list[str]] = {INPUT: [], OUTPUT: [], NODE_NAME: [], OP_TYPE: []}
    for field in read_fields(handle, end):
        if field.number in texts and field.wire_type == BYTES:
            texts[field.number].append(handle.read(field.value).decode("utf-8"))
    name, op_type = ((texts[number] or [""])[-1] for number in (NODE_NAME, OP_TYPE))
    return Node(name, op_type, tuple(texts[INPUT]), tuple(texts[OUTPUT]))


def read_initializer(handle: Content, end: int) -> Initializer:
    """The TensorProto that ends at byte `end`. Raises ValueError."""
    name, data_type = "", 0
    dims: list[int] = []
    for field in read_fields(handle, end):
        if field.number == TENSOR_NAME and field.wire_type == BYTES:
            name = handle.read(field.value).decode("utf-8")
        elif field.number == DATA_TYPE and field.wire_type == VARINT:
            data_type = field.value
        elif field.number == DIMS and field.wire_type == VARINT:
            dims.append(field.value)
        elif field.number == DIMS and field.wire_type == BYTES:  # protobuf may pack numbers into one field
            packed = handle.tell() + field.value
            while handle.tell() < packed:
                dims.append(read_varint(handle))
    if any(size >= 1 << 63 for size in dims):
        raise ValueError(f"the constant {name!r} has a negative size")
    return Initializer(name, tuple(dims), data_type)
