"""How much of a model is really computed in 8 bits or fewer, tower by tower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from distill.core.errors import ExportError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.graph import INT4, INT8, INT64, UINT4, UINT8, Graph, Initializer, read_graph
from distill.runtime.onnx.profile import OperatorMacs, count_macs
from distill.runtime.onnx.towers import TOWERS, weight_towers
from distill.runtime.openvino import profile as openvino_profile
from distill.runtime.openvino.graph import graph_of
from distill.runtime.openvino.model import OpenVinoModel, read_model

LOW_BIT_TYPES = (INT8, UINT8, INT4, UINT4)
MIN_WEIGHTS = 64  # smaller constants are shapes and axes
# From which input on an operator takes scales and zero points, which may be tables, but are no weights.
SCALES_FROM = {"DequantizeLinear": 1, "MatMulNBits": 2, "GatherBlockQuantized": 2}


@dataclass(frozen=True)
class TowerCoverage:
    """Of one tower: bytes of weights in 8 bits or fewer and in float (weights of two or more dimensions), and
    multiply-accumulates done on such weights and in float, for one example."""

    low_bit_bytes: int = 0
    float_bytes: int = 0
    low_bit_macs: int = 0
    float_macs: int = 0

    @property
    def weights(self) -> float:
        """Share of the bytes that is in few bits, in [0, 1]; 1 where there are none."""
        return _share(self.low_bit_bytes, self.float_bytes)

    @property
    def macs(self) -> float:
        """Share of the multiply-accumulates that is in few bits, in [0, 1]; 1 where there are none."""
        return _share(self.low_bit_macs, self.float_macs)

    def __add__(self, other: TowerCoverage) -> TowerCoverage:
        return TowerCoverage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(TowerCoverage)))


@dataclass(frozen=True)
class Coverage:
    """What quantisation covers of a model, by tower."""

    text: TowerCoverage
    image: TowerCoverage
    head: TowerCoverage

    @property
    def whole(self) -> TowerCoverage:
        """The sum of the three."""
        return self.text + self.image + self.head

    def rows(self) -> list[tuple[str, TowerCoverage]]:
        """Name and coverage of each tower, then of the whole."""
        return [*((tower, getattr(self, tower)) for tower in TOWERS), ("whole", self.whole)]


def measure_coverage(model: Path, batch: ModelInputs) -> Coverage:
    """Count weights as the file stores them, and multiply-accumulates as onnxruntime runs them on this machine for
    `batch`, after all of its own optimisations: what it falls back to float for counts as float."""
    graph = read_graph(model)
    scales = {name for node in graph.node for name in node.input[SCALES_FROM.get(node.op_type, 99) :]}
    weights = [weight for weight in graph.initializer if len(weight.dims) > 1 and weight.name not in scales]
    return _cover(graph, weights, count_macs(model, batch))


def measure_openvino_coverage(model: Path, batch: ModelInputs) -> Coverage:
    """The same of an .xml, as OpenVINO runs it: its scales and biases have one long axis at most."""
    opened = OpenVinoModel(model, 1)
    graph = graph_of(read_model(opened.openvino.Core(), model))
    weights = [weight for weight in graph.initializer if math.prod(weight.dims) > max(weight.dims, default=1)]
    return _cover(graph, weights, openvino_profile.count_macs(opened, batch))


def _cover(graph: Graph, weights: Sequence[Initializer], products: Sequence[OperatorMacs]) -> Coverage:
    towers = weight_towers(graph)
    covered = dict.fromkeys(TOWERS, TowerCoverage())
    for weight in weights:
        size = math.prod(weight.dims)
        if size < MIN_WEIGHTS or weight.data_type == INT64:
            continue
        if weight.data_type in LOW_BIT_TYPES:
            part = TowerCoverage(low_bit_bytes=size // 2 if weight.data_type in (INT4, UINT4) else size)
        else:
            part = TowerCoverage(float_bytes=4 * size)
        covered[towers[weight.name]] += part
    for product in products:
        covered[product.tower] += (
            TowerCoverage(low_bit_macs=product.macs)
            if product.quantised
            else TowerCoverage(float_macs=product.macs)
        )
    return Coverage(**covered)


def refuse_if_uncovered(coverage: Coverage, min_share: float, precision: str = "int8", here: bool = True) -> None:
    """Raise ExportError when the text tower, which is most of the work, stayed in float. Multiply-accumulates count
    only when the file is for the kind of processor that is `here`: another one's are unknown."""
    shares = {"weights": coverage.text.weights}
    if here:
        shares["multiply-accumulates"] = coverage.text.macs
    for what, share in shares.items():
        if share < min_share:
            raise ExportError(
                f"only {share:.0%} of the text tower's {what} became {precision} "
                f"(export.min_int8_share={min_share:.0%}): quantising did not reach it, or too much had to stay in "
                "float for --max-f1-drop, and the file would be neither smaller nor faster; export without "
                f"--{precision}, or train a student with another text encoder, such as DistilBERT"
            )


def _share(low_bit: int, floats: int) -> float:
    return low_bit / (low_bit + floats) if low_bit + floats else 1.0
