"""Cuts an exported graph into its text tower, its image tower and its head, to be run as graphs of their own.

A post without an image then costs no image tower, and both towers of one post may run at the same time. The file
stays as it is: a part is put together from its own bytes, node by node, without the onnx package.

Large weights are not copied: a part says where in the file they are. onnxruntime reads them there and packs them
when a session opens; what it would go on reading from the file, tables of which rows are looked up, is `tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill.runtime.onnx.graph import (
    EXTERNAL,
    FLOAT,
    GRAPH,
    INITIALIZER,
    INT8,
    INT32,
    INT64,
    LOCATION,
    NODE,
    RAW_DATA,
    UINT8,
    Graph,
    Node,
    read_initializer,
    read_node,
)
from distill.runtime.onnx.metadata import METADATA
from distill.runtime.onnx.protobuf import BYTES, VARINT, Content, field_bytes, read_fields, varint
from distill.runtime.onnx.towers import Tower, tensor_towers

BOOL = 9  # TensorProto.DataType
GRAPH_NAME, GRAPH_INPUT, GRAPH_OUTPUT = 2, 11, 12  # of GraphProto
NAME, TYPE = 1, 2  # of ValueInfoProto
TENSOR, ELEMENT, SHAPE, DIM, SIZE, SYMBOL = 1, 1, 2, 1, 1, 2  # of TypeProto and what is in it
ELEMENTS = {
    "tensor(float)": FLOAT,
    "tensor(uint8)": UINT8,
    "tensor(int8)": INT8,
    "tensor(int32)": INT32,
    "tensor(int64)": INT64,
    "tensor(bool)": BOOL,
}
LOGITS = "logits"
KEY, VALUE = 1, 2  # of StringStringEntryProto
IN_A_FILE = 1  # TensorProto.DataLocation
LARGE_BYTES = 1 << 14  # of a constant, from which on it is not copied
PACKING = {"MatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "Gemm", "DequantizeLinear"}
NUMPY = {FLOAT: np.float32, INT8: np.int8, UINT8: np.uint8}


class Wire(NamedTuple):
    """A tensor that leads from a tower into the head, with its type and shape as onnxruntime describes them."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Span(NamedTuple):
    """Where the content of a field stands in the file."""

    start: int
    size: int


@dataclass(frozen=True)
class _Fields:
    """What a file holds: the bytes beside its graph, and where its nodes, constants, inputs and outputs stand."""

    frame: bytes
    nodes: list[tuple[Node, _Span]] = field(default_factory=list)
    constants: dict[str, _Span] = field(default_factory=dict)
    inputs: dict[str, _Span] = field(default_factory=dict)
    outputs: dict[str, _Span] = field(default_factory=dict)


class CutGraph:
    """The parts of an ONNX file that `Bundle.open` has checked. `text` and `image` name the tensors that lead from
    each tower into the head; a model without both has none to cut, and may be a text tower alone."""

    def __init__(self, handle: Content, size: int, name: str) -> None:
        """`handle` stays open as long as parts are asked for; `name` is the file's in its folder. Raises ValueError
        for bytes that are no ONNX file."""
        self._handle, self._fields, self._name = handle, _read(handle, size), name.encode()
        nodes = tuple(node for node, _ in self._fields.nodes)
        self._towers = tensor_towers(Graph(nodes, ()))
        self._writers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
        leading = sorted(self._leading_into_head())
        self.text = [name for name in leading if self._towers[name] == "text"]
        self.image = [name for name in leading if self._towers[name] == "image"]
        self.tensors = sorted((*self._fields.inputs, *self._fields.outputs))  # what the whole takes and gives
        large = {name: span for name, span in self._fields.constants.items() if span.size >= LARGE_BYTES}
        takers: dict[str, set[str]] = {name: set() for name in large}
        for node in nodes:
            for name in large.keys() & node.input:
                takers[name].add(node.op_type)
        looked_up = {name: self._table(large[name]) for name, types in takers.items() if types == {"Gather"}}
        self.tables = {name: table for name, table in looked_up.items() if table is not None}
        self._left = {large[name] for name, types in takers.items() if types <= PACKING or name in self.tables}

    def tower(self, tower: Tower) -> bytes | None:
        """The text or the image tower as an ONNX file; None where there is none, or it depends on the other."""
        outputs = self.text if tower == "text" else self.image
        return self._part(outputs, tower, ()) if outputs else None

    def text_alone(self) -> bytes | None:
        """The whole as an ONNX file, where it is a text tower and nothing else; also inputs that nothing takes."""
        return self._part([LOGITS, *self._fields.inputs], "text", ()) if self.text == [LOGITS] else None

    def head(self, wires: Sequence[Wire]) -> bytes | None:
        """The head as an ONNX file that takes these tensors; None for one of an unknown type."""
        if any(wire.type not in ELEMENTS for wire in wires):
            return None
        return self._part([LOGITS], "head", wires)

    def _leading_into_head(self) -> set[str]:
        """The tensors that nodes of a tower write and the head takes."""
        leading: set[str] = set()
        seen: set[int] = set()
        queue = [LOGITS]
        while queue:
            name = queue.pop()
            place = self._writers.get(name)
            if place is None or place in seen:
                continue
            if self._towers[name] in ("text", "image"):
                leading.add(name)
                continue
            seen.add(place)
            queue += self._fields.nodes[place][0].input
        return leading

    def _part(self, outputs: Sequence[str], tower: Tower, wires: Sequence[Wire]) -> bytes | None:
        """What `outputs` depend on, back to the wires; None where that is in another tower than the part's. An
        input among them is declared."""
        places: set[int] = set()
        done = {"", *(wire.name for wire in wires)}
        inputs = [field_bytes(GRAPH_INPUT, _value(wire)) for wire in wires]
        spans: list[tuple[int, _Span]] = []
        queue = list(outputs)
        while queue:
            name = queue.pop()
            if name in done:
                continue
            done.add(name)
            if name in self._fields.constants:
                spans.append((INITIALIZER, self._fields.constants[name]))
            elif name in self._fields.inputs:
                spans.append((GRAPH_INPUT, self._fields.inputs[name]))
            elif name not in self._writers or self._towers[name] not in (tower, None):
                return None
            else:
                places.add(place := self._writers[name])
                queue += self._fields.nodes[place][0].input
        spans += ((NODE, self._fields.nodes[place][1]) for place in sorted(places))
        declared = self._fields.outputs
        spans += ((GRAPH_OUTPUT, declared[name]) for name in outputs if name in declared)
        wanted = [name for name in outputs if name not in declared and name not in self._fields.inputs]
        names = [field_bytes(GRAPH_OUTPUT, field_bytes(NAME, name.encode())) for name in wanted]
        return self._file(spans, [field_bytes(GRAPH_NAME, tower.encode()), *inputs, *names])

    def _file(self, spans: Sequence[tuple[int, _Span]], more: Iterable[bytes]) -> bytes:
        """A model whose graph has the fields at these spans of the file, and `more` fields."""
        graph = b"".join([*(field_bytes(number, self._content(number, span)) for number, span in spans), *more])
        return self._fields.frame + field_bytes(GRAPH, graph)

    def _content(self, number: int, span: _Span) -> bytes:
        content, data = self._without_data(span) if span in self._left else (b"", None)
        if number != INITIALIZER or data is None:
            self._handle.seek(span.start)
            return self._handle.read(span.size)
        entries = {b"location": self._name, b"offset": b"%d" % data.start, b"length": b"%d" % data.size}
        pairs = (field_bytes(KEY, key) + field_bytes(VALUE, value) for key, value in entries.items())
        external = b"".join(field_bytes(EXTERNAL, pair) for pair in pairs)
        return content + external + varint(8 * LOCATION) + varint(IN_A_FILE)

    def _without_data(self, span: _Span) -> tuple[bytes, _Span | None]:
        """A constant without its numbers, and where these stand; None where they are not one run of bytes."""
        self._handle.seek(span.start)
        content, data = b"", None
        for part in read_fields(self._handle, span.start + span.size):
            if part.wire_type == BYTES and part.number == RAW_DATA:
                data = _Span(self._handle.tell(), part.value)
            elif part.wire_type == BYTES:
                content += field_bytes(part.number, self._handle.read(part.value))
            elif part.wire_type == VARINT:
                content += varint(8 * part.number) + varint(part.value)
            else:
                return b"", None
        return content, data

    def _table(self, span: _Span) -> NDArray[Any] | None:
        """The numbers of a constant; None for a type that numpy lacks, or where they are not one run of bytes."""
        _, data = self._without_data(span)
        self._handle.seek(span.start)
        constant = read_initializer(self._handle, span.start + span.size)
        if data is None or constant.data_type not in NUMPY:
            return None
        self._handle.seek(data.start)
        return np.frombuffer(self._handle.read(data.size), NUMPY[constant.data_type]).reshape(constant.dims)


def _read(handle: Content, size: int) -> _Fields:
    frame, graphs = b"", []
    for part in read_fields(handle, size):
        span = _Span(handle.tell(), part.value)
        if part.wire_type == BYTES and part.number == GRAPH:
            graphs.append(span)
        elif part.wire_type == VARINT:
            frame += varint(8 * part.number) + varint(part.value)
        elif part.wire_type == BYTES and part.number != METADATA:
            frame += field_bytes(part.number, handle.read(part.value))
    (graph,) = graphs
    fields = _Fields(frame)
    handle.seek(graph.start)
    for part in read_fields(handle, graph.start + graph.size):
        span = _Span(handle.tell(), part.value)
        end = span.start + span.size
        if part.number == NODE:
            fields.nodes.append((read_node(handle, end), span))
        elif part.number == INITIALIZER:
            fields.constants[read_initializer(handle, end).name] = span
        elif part.number in (GRAPH_INPUT, GRAPH_OUTPUT):
            values = fields.inputs if part.number == GRAPH_INPUT else fields.outputs
            values[_name(handle, end)] = span
    return fields


def _name(handle: Content, end: int) -> str:
    """The name of the ValueInfoProto that ends at byte `end`."""
    name = ""
    for part in read_fields(handle, end):
        if part.number == NAME and part.wire_type == BYTES:
            name = handle.read(part.value).decode("utf-8")
    return name


def _value(wire: Wire) -> bytes:
    """The ValueInfoProto of an input of the head."""
    shape = b"".join(field_bytes(DIM, _dimension(size)) for size in wire.shape)
    tensor = varint(8 * ELEMENT) + varint(ELEMENTS[wire.type]) + field_bytes(SHAPE, shape)
    return field_bytes(NAME, wire.name.encode()) + field_bytes(TYPE, field_bytes(TENSOR, tensor))


def _dimension(size: int | str | None) -> bytes:
    if isinstance(size, int):
        return varint(8 * SIZE) + varint(size)
    return field_bytes(SYMBOL, size.encode()) if size else b""
