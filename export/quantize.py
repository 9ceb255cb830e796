"""From a fused fp32 graph to one with few bits. Knows graphs and schemes, no thresholds or F1."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import QDQQuantizer, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

from distill.errors import ExportError
from export.calibration import Calibration, Ranges
from export.isa import Target
from export.towers import picture_nodes

Matrices = Literal["dynamic", "static", "trained", "4-bit"]
Convolutions = Literal["float", "per-channel", "per-tensor"]

PRODUCTS = ["MatMul", "Gemm"]
# What may lie between two int8 convolutions without going back to float.
ACTIVATIONS = ("Clip", "Relu")
JOINS = ("Add", "Mul")
SQUEEZES = ("ReduceMean", "GlobalAveragePool")
BLOCK = 32  # weights that share a scale in 4 bits
# Shape inference stops at fused operators, whose outputs are then taken for this.
FUSED = {"DefaultTensorType": onnx.TensorProto.FLOAT}


@dataclass(frozen=True)
class Scheme:
    """How one file is quantised.

    `matrices`: "dynamic" measures the range of a product's input at run time, "static" takes it from
    calibration, "trained" from `distill finetune-int8`; "4-bit" rounds the weights alone. `convolutions`: with one
    scale per output channel, per tensor, or left in float. `calibration` is how ranges were set, where some were.
    `kept` are the nodes that stay in float.
    """

    matrices: Matrices
    convolutions: Convolutions
    calibration: Calibration | None = None
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"matrix products {self.matrices}, convolutions {self.convolutions}"
        text += f", {self.calibration} calibration" if self.calibration else ""
        return text + (f", {len(self.kept)} nodes in float" if self.kept else "")


def quantize(fused: Path, out: Path, scheme: Scheme, target: Target, ranges: Ranges) -> None:
    """Write `out` by `scheme` for `target`. Embedding tables become 8-bit, with "4-bit" 4-bit.

    `ranges` hold the least and greatest value of every tensor that a static part needs. Raises ExportError.
    """
    matrices = out.with_suffix(".matrices.onnx")
    try:
        with _quiet():
            if scheme.matrices == "4-bit":
                _four_bit(fused, matrices, scheme)
            else:
                _dynamic(fused, matrices, scheme, target)
            _static(matrices, out, scheme, target, ranges)
    except (ValueError, AssertionError, RuntimeError, NotImplementedError, IndexError, KeyError) as error:
        raise ExportError(f"onnxruntime cannot quantise {fused.name} ({scheme}) for {target}: {error}") from error
    finally:
        matrices.unlink(missing_ok=True)


def _dynamic(source: Path, out: Path, scheme: Scheme, target: Target) -> None:
    """Products whose ranges are found at run time, and the embedding tables.

    Without VNNI, onnxruntime adds pairs of u8 x s8 products up in 16 bits, which overflow silently; 7-bit weights
    (reduce_range) cannot. On a DistilBERT + MobileNetV2 student (AVX2 EPYC, 24 tokens, one thread, p50 of 40) they
    took 34 ms, u8 x u8 37 ms, and fp32 51 ms.
    """
    dynamic = PRODUCTS if scheme.matrices == "dynamic" else []
    quantize_dynamic(
        source,
        out,
        op_types_to_quantize=[*dynamic, "Gather"],
        nodes_to_exclude=list(scheme.kept),
        per_channel=True,
        reduce_range=target == "x86-avx2",
        weight_type=QuantType.QInt8,
        extra_options=FUSED,
    )


def _four_bit(source: Path, out: Path, scheme: Scheme) -> None:
    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=4,  # the products themselves in int8
        op_types_to_quantize=("MatMul", "Gather"),
    )
    quantizer = MatMulNBitsQuantizer(onnx.load(str(source)), nodes_to_exclude=list(scheme.kept), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(out))


def _static(source: Path, out: Path, scheme: Scheme, target: Target, ranges: Ranges) -> None:
    model = onnx.load(str(source))
    chosen = static_nodes(model.graph, scheme)
    if not chosen:
        onnx.save(model, str(out))
        return
    limits = {name: tuple(np.asarray(end, dtype=np.float32) for end in ends) for name, ends in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=scheme.convolutions == "per-channel" or scheme.matrices in ("static", "trained"),
        reduce_range=target == "x86-avx2",
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if target == "arm64" else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[node.name for node in chosen],
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in chosen}),
        extra_options={
            **FUSED,
            "OpTypesToExcludeOutputQuantization": PRODUCTS,  # what follows a product wants floats
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(out))


def static_nodes(graph: onnx.GraphProto, scheme: Scheme) -> list[onnx.NodeProto]:
    """The nodes that `scheme` quantises with ranges known beforehand."""
    constants = {item.name for item in graph.initializer}
    chosen: list[onnx.NodeProto] = []
    if scheme.matrices in ("static", "trained"):
        chosen += [node for node in graph.node if node.op_type in PRODUCTS and node.input[1] in constants]
    if scheme.convolutions != "float":
        chosen += _convolution_chain(graph)
    return [node for node in chosen if node.name not in scheme.kept]


def _convolution_chain(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions and what can stay in int8 between them.

    A ReLU that is quantised along with its convolution vanishes into it, and residual sums need no way back to
    float. The small convolutions of squeeze-and-excite work on one pixel, cost nothing and decide much: they stay
    in float; so do hard-swish and sigmoid, for which onnxruntime has no int8 of its own.
    """
    chosen: list[onnx.NodeProto] = []
    quantised: set[str] = set()
    squeezed: set[str] = set()
    for node in picture_nodes(graph):
        source = node.input[0]
        if node.op_type in SQUEEZES or (source in squeezed and node.op_type not in JOINS):
            squeezed.update(node.output)
            continue
        takes = node.op_type == "Conv" or (node.op_type in ACTIVATIONS and source in quantised)
        if node.op_type in JOINS:
            takes = any(name in quantised for name in node.input) and all(
                name in quantised or name in squeezed for name in node.input
            )
        if takes:
            chosen.append(node)
            quantised.update(node.output)
    return chosen


def trained_ranges(fp32: Path, layers: Mapping[str, tuple[float, float]]) -> Ranges:
    """The ranges of layers, by the name of the tensor that goes into each, which fusing keeps.

    torch's exporter writes the path of modules into every node: the last one that is a layer's name counts.
    Raises ExportError when a layer is not found.
    """
    found = {}
    missing = {f"network.{name}": value for name, value in layers.items()}
    wanted = dict(missing)
    for node in onnx.load(str(fp32)).graph.node:
        if node.op_type not in PRODUCTS:
            continue
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        layer = next((name for name in reversed(ast.literal_eval(scopes)) if name in wanted), None)
        if layer is not None:
            found[node.input[0]] = wanted[layer]
            missing.pop(layer, None)
    if missing:
        raise ExportError(f"{len(missing)} layers of the run are not in the exported graph, such as {min(missing)}")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back advice that does not apply: the graph is folded and has shapes already."""
    root = logging.getLogger()
    before = root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.setLevel(before)
