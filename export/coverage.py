"""How much of a model is really computed with few bits, tower by tower. Knows graphs and what onnxruntime makes
of them, no recipes."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from distill.errors import ExportError
from distill.preprocess import Batch
from export.runtime import open_session, run
from export.towers import TOWERS, Tower, by_output, of_weights

SMALL_TYPES = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4)
MIN_WEIGHTS = 64  # smaller constants are shapes and axes
# From which input on an operator takes scales and zero points, which may be tables, but are no weights.
SCALES_FROM = {"DequantizeLinear": 1, "MatMulNBits": 2, "GatherBlockQuantized": 2}

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
class Reach:
    """Of one tower: bytes of weights in 8 bits or fewer and in float (weights of two or more dimensions), and
    multiply-accumulates done on such weights and in float, for one example."""

    small_bytes: int = 0
    float_bytes: int = 0
    small_macs: int = 0
    float_macs: int = 0

    @property
    def weights(self) -> float:
        """Share of the bytes, in [0, 1]; 1 where there are none."""
        return _share(self.small_bytes, self.float_bytes)

    @property
    def macs(self) -> float:
        """Share of the multiply-accumulates, in [0, 1]; 1 where there are none."""
        return _share(self.small_macs, self.float_macs)

    def __add__(self, other: Reach) -> Reach:
        return Reach(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Reach)))


@dataclass(frozen=True)
class Coverage:
    """What quantising reached, by tower."""

    text: Reach
    picture: Reach
    head: Reach

    @property
    def whole(self) -> Reach:
        """All three."""
        return self.text + self.picture + self.head

    def rows(self) -> list[tuple[str, Reach]]:
        """Name and reach of each tower, then of the whole."""
        return [*((tower, getattr(self, tower)) for tower in TOWERS), ("whole", self.whole)]


def measure(model: Path, batch: Batch) -> Coverage:
    """Weights as they stand in the file; multiply-accumulates as onnxruntime runs them on this machine for `batch`,
    after all of its own optimisations: what it falls back to float for counts as float."""
    graph = onnx.load(str(model)).graph
    reach = dict.fromkeys(TOWERS, Reach())
    towers = of_weights(graph)
    scales = {name for node in graph.node for name in node.input[SCALES_FROM.get(node.op_type, 99) :]}
    for weight in graph.initializer:
        size = math.prod(weight.dims)
        if len(weight.dims) < 2 or size < MIN_WEIGHTS or weight.data_type == TensorProto.INT64:
            continue
        if weight.name in scales:
            continue
        small = weight.data_type in SMALL_TYPES
        count = size // 2 if weight.data_type in (TensorProto.INT4, TensorProto.UINT4) else size
        reach[towers[weight.name]] += Reach(small_bytes=count) if small else Reach(float_bytes=4 * count)
    for tower, small, macs in _executed(model, batch):
        reach[tower] += Reach(small_macs=macs) if small else Reach(float_macs=macs)
    return Coverage(**reach)


def refuse_if_hollow(coverage: Coverage, min_share: float, precision: str = "int8", here: bool = True) -> None:
    """Raise ExportError when the text tower, which is most of the work, stayed in float. What is run in int8 can
    only be known for a file made for the kind of processor that is `here`."""
    shares = {"weights": coverage.text.weights}
    if here:
        shares["multiply-accumulates"] = coverage.text.macs
    for what, share in shares.items():
        if share < min_share:
            raise ExportError(
                f"only {share:.0%} of the text tower's {what} became {precision} "
                f"(export.min_int8_share={min_share:.0%}): quantising did not reach it, or "
                f"too much had to stay in float for --max-f1-drop, and the file would be "
                f"neither smaller nor faster; export without --{precision}, or train a student with another text "
                "encoder, such as DistilBERT"
            )


def _executed(model: Path, batch: Batch) -> list[tuple[Tower, bool, int]]:
    """Tower, whether on small weights, and multiply-accumulates of every product and convolution that ran."""
    with tempfile.TemporaryDirectory(prefix="distill-coverage-") as folder:
        optimised, profile = Path(folder) / "optimised.onnx", Path(folder) / "profile"
        session = open_session(model, 1, optimised=optimised, profile=profile)
        run(session, batch)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        graph = onnx.load(str(optimised)).graph
    towers = by_output(graph)
    nodes = {node.name: node for node in graph.node}
    sizes = {item.name: tuple(item.dims) for item in graph.initializer}
    executed: list[tuple[Tower, bool, int]] = []
    for event in events:
        name, ending, _ = event.get("name", "").rpartition("_kernel_time")
        if not ending or event.get("cat") != "Node" or event["args"]["op_name"] not in MULTIPLYING:
            continue
        if name not in nodes:
            raise ExportError(f"onnxruntime ran {name}, which the graph that it wrote does not name; report this")
        # The profile leaves out weights that were packed for their kernel; the graph has them.
        counted = _macs(event["args"], [sizes.get(given, ()) for given in nodes[name].input])
        executed.append((towers[nodes[name].output[0]] or "head", *counted))
    return executed


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


def _share(small: int, large: int) -> float:
    return small / (small + large) if small + large else 1.0
