"""What onnxruntime runs of a model, tower by tower, by its own profile. Knows operators and their time, no weights
in files and no recipes."""

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
from distill.runtime.onnx import graph as onnx_graph
from distill.runtime.onnx.graph import Graph, Node
from distill.runtime.onnx.towers import TOWERS, Tower, by_output
from distill.runtime.predictor import open_session, run

SMALL_PRODUCTS = (
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "MatMulInteger",
    "MatMulNBits",
    "QLinearMatMul",
    "QGemm",
)
FLOAT_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")
SMALL_CONVOLUTIONS = ("QLinearConv", "ConvInteger")
FLOAT_CONVOLUTIONS = ("Conv", "FusedConv")
ATTENTION = ("MultiHeadAttention", "Attention")
MULTIPLYING = (*SMALL_PRODUCTS, *FLOAT_PRODUCTS, *SMALL_CONVOLUTIONS, *FLOAT_CONVOLUTIONS, *ATTENTION)


@dataclass(frozen=True)
class Product:
    """One product, convolution or attention that ran: whether on weights of 8 bits or fewer, and its
    multiply-accumulates for the whole batch."""

    tower: Tower
    small: bool
    macs: int


def work(model: Path, batch: ModelInputs) -> list[Product]:
    """Everything that multiplies, after all of onnxruntime's optimisations, in order. Raises BundleError, and
    ExportError where the profile cannot be read."""
    graph, (events,) = _profiled(model, batch, threads=1, calls=1)
    towers = by_output(graph)
    sizes = {item.name: item.dims for item in graph.initializer}
    products = []
    for node, event in zip(graph.node, events, strict=True):
        if node.op_type in MULTIPLYING:
            # The profile leaves out weights that were packed for their kernel; the graph has them.
            counted = _macs(event["args"], [sizes.get(given, ()) for given in node.input])
            products.append(Product(towers[node.output[0]] or "head", *counted))
    return products


def tower_times(model: Path, batch: ModelInputs, threads: int, calls: int) -> dict[Tower, float]:
    """Each tower's share of the nodes' time, the three adding up to 1: of every node the median over `calls`, after
    one that warms up. What depends on constants alone counts to the head. Raises as `work` does."""
    graph, runs = _profiled(model, batch, threads, 1 + calls)
    towers = by_output(graph)
    times = dict.fromkeys(TOWERS, 0.0)
    for node, *events in zip(graph.node, *runs[1:], strict=True):
        # The profile cuts off what is less than a microsecond: half of one, on average.
        times[towers[node.output[0]] or "head"] += 0.5 + statistics.median(event["dur"] for event in events)
    return {tower: spent / sum(times.values()) for tower, spent in times.items()}


def _profiled(
    model: Path, batch: ModelInputs, threads: int, calls: int
) -> tuple[Graph, list[list[dict[str, Any]]]]:
    """The graph that onnxruntime made of the model, and for each call the event of every node in turn."""
    with tempfile.TemporaryDirectory(prefix="distill-profile-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        session = open_session(model, threads, optimised=optimised, profile=Path(folder) / "profile")
        for _ in range(calls):
            run(session, batch)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        graph = onnx_graph.read(optimised)
    kernels = iter([event for event in events if event.get("name", "").endswith("_kernel_time")])
    return graph, [_in_turn(graph.node, kernels) for _ in range(calls)]


def _in_turn(nodes: Sequence[Node], kernels: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """One event a node. Nodes run in the order in which they are written, which finds those without a name too;
    the nodes of a branch or loop run before it ends, and its time holds theirs."""
    events = []
    for node in nodes:
        for event in kernels:
            kind, name = event["args"]["op_name"], event["name"].removesuffix("_kernel_time")
            if kind == node.op_type and (name == node.name or not node.name):
                events.append(event)
                break
            if kind in MULTIPLYING:
                raise ExportError(
                    f"onnxruntime ran {name}, which the graph that it wrote does not name; report this"
                )
        else:
            raise ExportError(f"onnxruntime did not run {node.name or node.op_type}, which it wrote; report this")
    return events


def _macs(arguments: dict[str, Any], constants: list[tuple[int, ...]]) -> tuple[bool, int]:
    """Whether on small weights, and how many, of an operator in MULTIPLYING."""
    kind = arguments["op_name"]
    inputs, outputs = (
        [next(iter(item.values())) for item in arguments[key]] for key in ("input_type_shape", "output_type_shape")
    )
    if kind in SMALL_PRODUCTS + FLOAT_PRODUCTS:
        return kind in SMALL_PRODUCTS, math.prod(outputs[0]) * inputs[0][-1]
    if kind in SMALL_CONVOLUTIONS + FLOAT_CONVOLUTIONS:
        weight = constants[3 if kind == "QLinearConv" else 1]
        return kind in SMALL_CONVOLUTIONS, math.prod(outputs[0]) * math.prod(weight[1:])
    batch, length, width = outputs[0]  # attention: query x key and weights x value, over whole sequences
    return False, 2 * batch * length * length * width
