"""Measures each tower's share of a model's time and multiply-accumulates, and the weights that a run reads, from
onnxruntime's own profile."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import ExportError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.graph import Graph, Node, read_graph
from distill.runtime.onnx.session import OPTIMISED, open_session, run_session
from distill.runtime.onnx.towers import TOWERS, Tower, tensor_towers

QUANTISED_MATMULS = (
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "MatMulInteger",
    "MatMulNBits",
    "QLinearMatMul",
    "QGemm",
)
FLOAT_MATMULS = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")
QUANTISED_CONVOLUTIONS = ("QLinearConv", "ConvInteger")
FLOAT_CONVOLUTIONS = ("Conv", "FusedConv")
ATTENTION = ("MultiHeadAttention", "Attention")
GATHERS = ("Gather", "GatherElements", "GatherND", "GatherBlockQuantized", "EmbedLayerNormalization")
BITS = {  # of an element, by TensorProto.DataType
    **dict.fromkeys((7, 11, 13), 64),  # int64, double, uint64
    **dict.fromkeys((1, 6, 12), 32),  # float, int32, uint32
    **dict.fromkeys((4, 5, 10, 16), 16),  # uint16, int16, float16, bfloat16
    **dict.fromkeys((2, 3, 9), 8),  # uint8, int8, bool
    **dict.fromkeys((21, 22), 4),  # uint4, int4
}
COUNTED = (*QUANTISED_MATMULS, *FLOAT_MATMULS, *QUANTISED_CONVOLUTIONS, *FLOAT_CONVOLUTIONS, *ATTENTION)


@dataclass(frozen=True)
class OperatorMacs:
    """One matrix product, convolution or attention that ran: whether its weights have 8 bits or fewer, and its
    multiply-accumulates for the whole batch."""

    tower: Tower
    quantised: bool
    macs: int


def count_macs(model: Path, batch: ModelInputs) -> list[OperatorMacs]:
    """The multiply-accumulates of every operator in COUNTED, in order, after all of onnxruntime's optimisations.

    Raises BundleError, and ExportError where the profile cannot be read.
    """
    graph, (events,) = _profiled(model, batch, threads=1, calls=1)
    towers = tensor_towers(graph)
    shapes = {constant.name: constant.dims for constant in graph.initializer}
    counts = []
    for node, event in zip(graph.node, events, strict=True):
        if node.op_type in COUNTED:
            # The profile leaves out weights that were packed for their kernel; the graph has them.
            quantised, macs = _macs(event["args"], [shapes.get(name, ()) for name in node.input])
            counts.append(OperatorMacs(towers[node.output[0]] or "head", quantised, macs))
    return counts


def weight_bytes(model: Path, batch: ModelInputs) -> int:
    """The bytes of constants that one run must read, after all of onnxruntime's optimisations: each constant once,
    however often it is used, and of a table that is gathered from, such as an embedding's, the rows that are asked
    for. Raises as `count_macs` does."""
    graph, (events,) = _profiled(model, batch, threads=1, calls=1)
    whole = {c.name: _size_bytes(math.prod(c.dims), c.data_type) for c in graph.initializer}
    types = {constant.name: constant.data_type for constant in graph.initializer}
    read: dict[str, int] = {}
    for node, event in zip(graph.node, events, strict=True):
        outputs = event["args"]["output_type_shape"]
        for name in set(node.input) & whole.keys():
            size = whole[name]
            if node.op_type in GATHERS:
                gathered = math.prod(next(iter(outputs[0].values())))
                size = min(size, read.get(name, 0) + _size_bytes(gathered, types[name]))
            read[name] = max(size, read.get(name, 0))
    return sum(read.values())


def tower_time_shares(model: Path, batch: ModelInputs, threads: int, calls: int) -> dict[Tower, float]:
    """Each tower's share of the nodes' time, together 1: of every node the median over `calls`, after one call that
    warms up. What depends on constants alone counts to the head. Raises as `count_macs` does."""
    graph, runs = _profiled(model, batch, threads, 1 + calls)
    towers = tensor_towers(graph)
    times_us = dict.fromkeys(TOWERS, 0.0)
    for node, *events in zip(graph.node, *runs[1:], strict=True):
        # The profile cuts off fractions of a microsecond: half of one, on average.
        times_us[towers[node.output[0]] or "head"] += 0.5 + statistics.median(event["dur"] for event in events)
    return {tower: time_us / sum(times_us.values()) for tower, time_us in times_us.items()}


def _profiled(
    model: Path, batch: ModelInputs, threads: int, calls: int
) -> tuple[Graph, list[list[dict[str, Any]]]]:
    """The graph that onnxruntime made of the model, and for each call the event of every node in order."""
    with tempfile.TemporaryDirectory(prefix="distill-profile-") as folder:
        session = open_session(model, threads, record=Path(folder))
        for _ in range(calls):
            run_session(session, batch)
        events = _read_events(Path(session.end_profiling()))
        graph = read_graph(Path(folder) / OPTIMISED)
    kernels = iter([event for event in events if event.get("name", "").endswith("_kernel_time")])
    return graph, [_events_of(graph.node, kernels) for _ in range(calls)]


def _read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a profile. Raises ExportError where a name in the graph has spoilt its JSON."""
    try:
        events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExportError(f"onnxruntime's profile cannot be read: {error}; rename the graph's nodes") from error
    return events


def _events_of(nodes: Sequence[Node], kernels: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """One event for each node. Nodes run in the order in which they are written, so that those without a name are
    found too; the nodes of a branch or loop run before it ends, and its time includes theirs."""
    events = []
    for node in nodes:
        for event in kernels:
            op_type, name = event["args"]["op_name"], event["name"].removesuffix("_kernel_time")
            if op_type == node.op_type and (name == node.name or not node.name):
                events.append(event)
                break
            if op_type in COUNTED:
                raise ExportError(
                    f"onnxruntime ran {name}, which the graph that it wrote does not name; report this"
                )
        else:
            raise ExportError(f"onnxruntime did not run {node.name or node.op_type}, which it wrote; report this")
    return events


def _size_bytes(elements: int, data_type: int) -> int:
    return -(-elements * BITS.get(data_type, 8) // 8)


def _macs(arguments: dict[str, Any], constants: list[tuple[int, ...]]) -> tuple[bool, int]:
    """Whether an operator's weights are quantised, and its multiply-accumulates."""
    op_type = arguments["op_name"]
    inputs, outputs = (
        [next(iter(item.values())) for item in arguments[key]] for key in ("input_type_shape", "output_type_shape")
    )
    if op_type in QUANTISED_MATMULS + FLOAT_MATMULS:
        return op_type in QUANTISED_MATMULS, math.prod(outputs[0]) * inputs[0][-1]
    if op_type in QUANTISED_CONVOLUTIONS + FLOAT_CONVOLUTIONS:
        weight = constants[3 if op_type == "QLinearConv" else 1]
        return op_type in QUANTISED_CONVOLUTIONS, math.prod(outputs[0]) * math.prod(weight[1:])
    batch, length, width = outputs[0]  # attention: query x key and weights x value, over whole sequences
    return False, 2 * batch * length * length * width
