"""Quantise a fused fp32 graph by a scheme."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import QDQQuantizer, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

from distill.core.errors import ExportError
from distill.core.machine.cpu import CpuTarget
from distill.runtime.onnx.towers import image_tower_nodes
from export.quantize.calibration import RangeMethod, Ranges

Matmuls = Literal["dynamic", "static", "trained", "4-bit"]
Convolutions = Literal["float", "per-channel", "per-tensor"]

MATMUL_OPS = ["MatMul", "Gemm"]
# What may lie between two int8 convolutions without going back to float.
ACTIVATIONS = ("Clip", "Relu")
ELEMENTWISE_OPS = ("Add", "Mul")
POOLING_OPS = ("ReduceMean", "GlobalAveragePool")
BLOCK = 32  # weights that share a scale in 4 bits
# Shape inference stops at fused operators, whose outputs are then taken for this.
FUSED = {"DefaultTensorType": onnx.TensorProto.FLOAT}


@dataclass(frozen=True)
class Scheme:
    """How one file is quantised.

    `matmuls`: "dynamic" measures the range of a product's input at run time, "static" takes it from
    calibration, "trained" from `distill finetune-int8`; "4-bit" rounds the weights alone. `convolutions`: with one
    scale per output channel, per tensor, or left in float. The calibrations say how static ranges are set.
    `float_nodes` names the nodes that are kept in float all the same.
    """

    matmuls: Matmuls
    convolutions: Convolutions
    matmul_calibration: RangeMethod | None = None
    convolution_calibration: RangeMethod | None = None
    float_nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        matmuls = f" ({self.matmul_calibration})" if self.matmul_calibration else ""
        convolutions = f" ({self.convolution_calibration})" if self.convolution_calibration else ""
        kept = f", {len(self.float_nodes)} nodes in float" if self.float_nodes else ""
        return f"matrix products {self.matmuls}{matmuls}, convolutions {self.convolutions}{convolutions}{kept}"

    def with_float_convolutions(self) -> Scheme:
        """The same for the matrix products alone."""
        return replace(self, convolutions="float", convolution_calibration=None)


@dataclass(frozen=True)
class NncfScheme:
    """How NNCF quantises one file: how it corrects the shift that rounding causes, "accurate" measuring each layer
    after those before it are corrected, and whether convolutions become int8. Matrix products always do."""

    bias_correction: Literal["fast", "accurate"]
    convolutions: Literal["int8", "float"]

    def __str__(self) -> str:
        return f"matrix products int8, convolutions {self.convolutions}, {self.bias_correction} bias correction"


def quantize_graph(
    fused: Path,
    out: Path,
    scheme: Scheme,
    target: CpuTarget,
    matmul_ranges: Ranges,
    convolution_ranges: Ranges,
    products: Path | None = None,
) -> None:
    """Write `out` by `scheme` for `target`. Embedding tables become 8-bit, with "4-bit" 4-bit.

    The ranges hold the least and greatest value of every tensor that is quantised statically. `products` is the
    file by `scheme.with_float_convolutions()`, where there is one: its matrix products need not be quantised again.
    Raises ExportError.
    """
    part = out.with_suffix(".part.onnx")
    try:
        with _silence():
            if products is None:
                model = _quantized_products(fused, part, scheme, target, matmul_ranges)
            else:
                model = onnx.load(str(products))
            chain = static_convolutions(model.graph, scheme)
            model = _static(model, chain, scheme.convolutions == "per-channel", target, convolution_ranges)
            onnx.save(model, str(out))
    except (ValueError, AssertionError, RuntimeError, NotImplementedError, IndexError, KeyError) as error:
        raise ExportError(f"onnxruntime cannot quantise {fused.name} ({scheme}) for {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _quantized_products(
    fused: Path, part: Path, scheme: Scheme, target: CpuTarget, ranges: Ranges
) -> onnx.ModelProto:
    if scheme.matmuls == "4-bit":
        _four_bit(fused, part, scheme)
    else:
        _dynamic(fused, part, scheme, target)
    model = onnx.load(str(part))
    return _static(model, static_products(model.graph, scheme), True, target, ranges)


def _dynamic(source: Path, out: Path, scheme: Scheme, target: CpuTarget) -> None:
    """Quantise products whose ranges are measured at run time, and the embedding tables.

    Without VNNI, onnxruntime adds pairs of u8 x s8 products up in 16 bits, which overflow silently; 7-bit weights
    (reduce_range) cannot. On a DistilBERT + MobileNetV2 student (AVX2 EPYC, 24 tokens, one thread, p50 of 40) they
    took 34 ms, u8 x u8 37 ms, and fp32 51 ms.
    """
    dynamic = MATMUL_OPS if scheme.matmuls == "dynamic" else []
    quantize_dynamic(
        source,
        out,
        op_types_to_quantize=[*dynamic, "Gather"],
        nodes_to_exclude=list(scheme.float_nodes),
        per_channel=True,
        reduce_range=target == "x86-avx2",
        weight_type=QuantType.QInt8,
        extra_options=FUSED,
    )


def _four_bit(source: Path, out: Path, scheme: Scheme) -> None:
    """Round weights and embedding tables to 4 bits, a scale for every BLOCK of them."""
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=4,  # the products themselves in int8
        op_types_to_quantize=("MatMul", "Gather"),
    )
    quantizer = MatMulNBitsQuantizer(
        onnx.load(str(source)), nodes_to_exclude=list(scheme.float_nodes), algo_config=config
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(out))


def _static(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], per_channel: bool, target: CpuTarget, ranges: Ranges
) -> onnx.ModelProto:
    """Quantise `nodes` with ranges that were measured beforehand."""
    if not nodes:
        return model
    limits = {name: tuple(np.asarray(end, dtype=np.float32) for end in ends) for name, ends in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=per_channel,
        reduce_range=target == "x86-avx2",
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if target == "arm64" else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in nodes}),
        extra_options={
            **FUSED,
            "OpTypesToExcludeOutputQuantization": MATMUL_OPS,  # what follows a product wants floats
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def static_products(graph: onnx.GraphProto, scheme: Scheme) -> list[onnx.NodeProto]:
    """The matrix products that `scheme` quantises with ranges measured beforehand."""
    if scheme.matmuls not in ("static", "trained"):
        return []
    constants = {item.name for item in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in MATMUL_OPS and node.input[1] in constants and node.name not in scheme.float_nodes
    ]


def static_convolutions(graph: onnx.GraphProto, scheme: Scheme) -> list[onnx.NodeProto]:
    """The convolutions that `scheme` quantises, and the operators between them that can stay in int8.

    A ReLU that is quantised along with its convolution vanishes into it, and residual sums need no way back to
    float. The small convolutions of squeeze-and-excite work on one pixel, cost nothing and decide much: they stay
    in float; so do hard-swish and sigmoid, for which onnxruntime has no int8 of its own.
    """
    if scheme.convolutions == "float":
        return []
    chosen: list[onnx.NodeProto] = []
    quantised: set[str] = set()
    squeezed: set[str] = set()
    for node in image_tower_nodes(graph):
        source = node.input[0]
        joined = node.input if node.op_type in ELEMENTWISE_OPS else [source]
        if node.op_type in POOLING_OPS or all(name in squeezed for name in joined):
            squeezed.update(node.output)
            continue
        if node.op_type in ELEMENTWISE_OPS:  # a residual, or the gate of a squeeze
            fits = not quantised.isdisjoint(joined) and quantised.union(squeezed).issuperset(joined)
        else:
            fits = node.op_type == "Conv" or (node.op_type in ACTIVATIONS and source in quantised)
        if fits:
            chosen.append(node)
            quantised.update(node.output)
    return [node for node in chosen if node.name not in scheme.float_nodes]


def trained_ranges(fp32: Path, layers: Mapping[str, tuple[float, float]]) -> Ranges:
    """Name the ranges of layers' inputs by the tensor that goes into each layer, which fusing keeps.

    torch's exporter writes the path of modules into every node: the last one that is a layer's name counts.
    Raises ExportError for a layer that is not in the graph.
    """
    by_layer = {f"network.{name}": ends for name, ends in layers.items()}
    by_tensor, missing = {}, set(by_layer)
    for node in onnx.load(str(fp32)).graph.node:
        if node.op_type not in MATMUL_OPS:
            continue
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        layer = next((name for name in reversed(ast.literal_eval(scopes)) if name in by_layer), None)
        if layer is not None:
            by_tensor[node.input[0]] = by_layer[layer]
            missing.discard(layer)
    if missing:
        raise ExportError(f"{len(missing)} layers of the run are not in the exported graph, such as {min(missing)}")
    return by_tensor


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the quantisers' advice, which does not apply: the graph is folded and has shapes already."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:  # the 4-bit quantiser makes every logger of the process talk when it is imported
        logging.disable(logging.NOTSET)
        root.setLevel(level)
        root.handlers[:] = handlers
