"""Refuses a file in onnxruntime's own format that could do more than compute, as `guard` does for ONNX.

The field numbers are those of onnxruntime's ort.fbs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from distill.core.errors import BundleError
from distill.runtime.flatbuffer import Table, open_table
from distill.runtime.onnx.guard import DOMAINS, EP_CONTEXT, MAX_BYTES

IDENTIFIER = b"ORTM"
MODEL = 1  # of InferenceSession
GRAPH = 7  # of Model
INITIALIZERS, NODES, SPARSE, OPTIMIZATIONS = 0, 2, 7, 8  # of Graph
DOMAIN, OP_TYPE, ATTRIBUTES = 2, 5, 10  # of Node
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS = 6, 7, 11, 12  # of Attribute
EXTERNAL_OFFSET = 6  # of Tensor


def check_ort_file(path: Path) -> None:
    """Raises BundleError for a file that is missing, damaged or unsafe to open."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, over the limit of {MAX_BYTES:,}")
        model = open_table(path, IDENTIFIER).table(MODEL)
        graph = model.table(GRAPH) if model else None
        if graph is None:
            raise ValueError("it holds no graph")
        _check_graph(graph)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as an ORT file: {error}; get the Bundle again") from error


def _check_graph(graph: Table) -> None:
    if graph.length(SPARSE):
        _refuse("sparse weights")
    if graph.has(OPTIMIZATIONS):
        _refuse("optimisations to be replayed")
    for tensor in graph.tables(INITIALIZERS):
        _check_tensor(tensor)
    for node in graph.tables(NODES):
        if node.text(DOMAIN) not in DOMAINS:
            _refuse("operators that are neither onnx's nor com.microsoft's")
        if node.text(OP_TYPE) == EP_CONTEXT:
            _refuse("a compiled model in another file")
        for attribute in node.tables(ATTRIBUTES):
            if attribute.has(SUBGRAPH) or attribute.length(SUBGRAPHS):
                _refuse("graphs inside operators, as loops have")
            inner = attribute.table(TENSOR)
            for tensor in (*([inner] if inner else []), *attribute.tables(TENSORS)):
                _check_tensor(tensor)


def _check_tensor(tensor: Table) -> None:
    if tensor.number(EXTERNAL_OFFSET, "q", -1) != -1:
        _refuse("weights in another file")


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"it holds {what}, which no Bundle has")
