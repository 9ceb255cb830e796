"""Refuses an ONNX file that could do more than compute: read other files, run foreign code, or loop.

onnxruntime follows what a graph says: a weight may name a file to read, an operator a library's domain, a loop its
own length. No exported Bundle holds any of that, so it is refused before onnxruntime opens the file. What remains
terminates, but may take long and more memory than there is: nothing checks that, and onnxruntime is no sandbox.

The field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from distill.core.errors import BundleError
from distill.runtime.onnx.graph import EXTERNAL, GRAPH, INITIALIZER, LOCATION, NODE, OP_TYPE
from distill.runtime.onnx.protobuf import BYTES, Content, Field, read_fields

MAX_BYTES = 1 << 31  # protobuf's own limit; larger models keep their weights in other files
MAX_FIELDS = 2_000_000  # two hundred times those of a large encoder; bounds the time to read them
TRAINING, FUNCTIONS = 20, 25  # of ModelProto
SPARSE = 15  # of GraphProto
ATTRIBUTE, DOMAIN = 5, 7  # of NodeProto
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS, SPARSE_TENSOR, SPARSE_TENSORS = 5, 6, 10, 11, 22, 23  # of AttributeProto
DOMAINS = (b"", b"ai.onnx", b"com.microsoft")
EP_CONTEXT = b"EPContext"  # names a file with a compiled model


def check_onnx_file(path: Path) -> None:
    """Raises BundleError for a file that is missing, damaged or unsafe to open."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, over the limit of {MAX_BYTES:,}")
        if size == 0:
            raise ValueError("it is empty")
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as handle:
            _Checker(handle).model(size)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}; get the Bundle again") from error


class _Checker:
    """One pass over a file; `left` is how many fields it may still have."""

    def __init__(self, handle: Content) -> None:
        self.handle = handle
        self.left = MAX_FIELDS

    def model(self, end: int) -> None:
        graphs = 0
        for number, wire_type, value in self._fields(end):
            if number in (TRAINING, FUNCTIONS):
                _refuse("functions or training steps")
            if number == GRAPH and wire_type == BYTES:
                graphs += 1
                self._graph(self.handle.tell() + value)
        if graphs != 1:
            raise ValueError(f"it holds {graphs} graphs")

    def _graph(self, end: int) -> None:
        for number, wire_type, value in self._fields(end):
            inner = self.handle.tell() + value
            if number == SPARSE:
                _refuse("sparse weights")
            if number == NODE and wire_type == BYTES:
                self._node(inner)
            elif number == INITIALIZER and wire_type == BYTES:
                self._tensor(inner)

    def _node(self, end: int) -> None:
        for number, wire_type, value in self._fields(end):
            if wire_type != BYTES:
                continue
            if number == DOMAIN and (value > 64 or self.handle.read(value) not in DOMAINS):
                _refuse("operators that are neither onnx's nor com.microsoft's")
            if number == OP_TYPE and value == len(EP_CONTEXT) and self.handle.read(value) == EP_CONTEXT:
                _refuse("a compiled model in another file")
            if number == ATTRIBUTE:
                self._attribute(self.handle.tell() + value)

    def _attribute(self, end: int) -> None:
        for number, wire_type, value in self._fields(end):
            if number in (SUBGRAPH, SUBGRAPHS):
                _refuse("graphs inside operators, as loops have")
            if number in (SPARSE_TENSOR, SPARSE_TENSORS):
                _refuse("sparse weights")
            if number in (TENSOR, TENSORS) and wire_type == BYTES:
                self._tensor(self.handle.tell() + value)

    def _tensor(self, end: int) -> None:
        for number, wire_type, value in self._fields(end):
            if number == EXTERNAL or (number == LOCATION and (value or wire_type == BYTES)):
                _refuse("weights in another file")

    def _fields(self, end: int) -> Iterator[Field]:
        for field in read_fields(self.handle, end):
            self.left -= 1
            if self.left < 0:
                raise ValueError(f"it has more than {MAX_FIELDS:,} fields")
            yield field


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"it holds {what}, which no Bundle has")
