"""From an fp32 ONNX file to an int8 one. Knows graphs and calibration batches, no thresholds or F1."""

from __future__ import annotations

import ast
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, QuantizationConfig

from distill.errors import ExportError
from distill.preprocess import Batch
from export.coverage import Coverage, measure
from export.isa import Target

Ranges = dict[str, tuple[float, float]]  # of the input of each linear layer, by the layer's name
PRODUCTS = ["MatMul", "Gemm"]
DYNAMIC = [*PRODUCTS, "Gather"]  # Gather: the embedding tables, most of a small encoder's bytes


def quantize(
    fp32: Path,
    out: Path,
    target: Target,
    calibration: Sequence[Batch],
    convolutions: bool,
    ranges: Ranges | None = None,
) -> Coverage:
    """Write `out`: int8 for matrix products and embeddings and, with `convolutions`, static QDQ int8 for the
    convolutions, calibrated on these batches. Returns what was reached. Raises ExportError.

    Matrix products measure the range of their input at run time (dynamic); with `ranges`, by the name of the
    linear layer, they are static QDQ in the ranges that they were trained in.
    """
    matrices = out.with_suffix(".matrices.onnx")
    inputs = _inputs(fp32, ranges) if ranges else {}
    try:
        with _quiet():
            _dynamic(fp32, matrices, target, ["Gather"] if ranges else DYNAMIC)
            if convolutions or ranges:
                _static(matrices, out, target, calibration, convolutions, inputs)
            else:
                shutil.copyfile(matrices, out)
    except (ValueError, AssertionError, RuntimeError, NotImplementedError, IndexError, KeyError) as error:
        raise ExportError(f"onnxruntime cannot quantise {fp32.name} for {target}: {error}") from error
    finally:
        matrices.unlink(missing_ok=True)
    return measure(out)


def refuse_if_hollow(coverage: Coverage, min_share: float) -> None:
    """Raise ExportError when the text tower stayed in float, as an ALBERT graph does in onnxruntime."""
    share = coverage.share("text")
    if share < min_share:
        raise ExportError(
            f"only {share:.0%} of the text tower's weights became int8 (export.min_int8_share={min_share:.0%}): "
            "quantising did not reach it, and the file would be neither smaller nor faster; export without "
            "--int8, or train a student with another text encoder, such as DistilBERT"
        )


def _preset(target: Target, operators: list[str]) -> QuantizationConfig:
    """optimum's preset for the processor, dynamic, weights per channel.

    Without VNNI, onnxruntime adds pairs of u8 x s8 products up in 16 bits, which overflow silently; 7-bit
    weights (reduce_range) cannot. On a DistilBERT + MobileNetV2 student (AVX2 EPYC, 24 tokens, one thread, p50
    of 40) they took 34 ms, u8 x u8, the avx2 preset's choice, 37 ms, and fp32 51 ms; u8 x s8 with 8 bits moved
    the logits 13 times as far as either.
    """
    wanted: dict[str, Any] = {"is_static": False, "per_channel": True, "operators_to_quantize": operators}
    if target == "arm64":
        return AutoQuantizationConfig.arm64(**wanted)
    if target == "x86-vnni":
        return AutoQuantizationConfig.avx512_vnni(**wanted)
    return AutoQuantizationConfig.avx512(**wanted, reduce_range=True)


def _dynamic(fp32: Path, out: Path, target: Target, operators: list[str]) -> None:
    folder = out.with_suffix(".optimum")
    try:
        ORTQuantizer(fp32).quantize(
            save_dir=folder, quantization_config=_preset(target, operators), file_suffix="int8"
        )
        made = list(folder.glob("*.onnx"))
        if len(made) != 1:
            raise ExportError(f"optimum wrote {len(made)} ONNX files for {fp32.name}, expected one")
        made[0].replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _static(
    source: Path,
    out: Path,
    target: Target,
    calibration: Sequence[Batch],
    convolutions: bool,
    inputs: Ranges,
) -> None:
    overrides = {
        tensor: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for tensor, (low, high) in inputs.items()
    }
    nodes = [
        node.name
        for node in onnx.load(str(source)).graph.node
        if (node.op_type in PRODUCTS and node.input[0] in inputs) or (convolutions and node.op_type == "Conv")
    ]
    quantize_static(
        str(source),
        str(out),
        _Calibration(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", *PRODUCTS],
        nodes_to_quantize=nodes,
        per_channel=True,
        reduce_range=target == "x86-avx2",
        activation_type=QuantType.QInt8 if target == "arm64" else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_providers=["CPUExecutionProvider"],
        extra_options={
            "TensorQuantOverrides": overrides,
            # Only the inputs of the matrix products were rounded in training.
            "OpTypesToExcludeOutputQuantization": PRODUCTS,
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )


def _inputs(fp32: Path, ranges: Ranges) -> Ranges:
    """The ranges by the name of the tensor that goes into each layer, as nodes may be renamed on the way.

    torch's exporter writes the path of modules into every node: the last one that is a layer's name counts.
    Raises ExportError when a layer is not found.
    """
    found = {}
    missing = dict(ranges)
    for node in onnx.load(str(fp32)).graph.node:
        if node.op_type not in PRODUCTS:
            continue
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        layer = next((name for name in reversed(ast.literal_eval(scopes)) if name in ranges), None)
        if layer is not None:
            found[node.input[0]] = ranges[layer]
            missing.pop(layer, None)
    if missing:
        raise ExportError(f"{len(missing)} layers of the run are not in the exported graph, such as {min(missing)}")
    return found


class _Calibration(CalibrationDataReader):
    """Batches, one after the other, as onnxruntime asks for them."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.feeds = iter([batch.feed() for batch in batches])

    def get_next(self) -> dict[str, Any] | None:
        """The next batch's inputs, None at the end."""
        return next(self.feeds, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back advice that does not apply: the graph is folded and has shapes already."""
    root = logging.getLogger()
    before = root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.setLevel(logging.ERROR)
        logging.getLogger("optimum").setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.setLevel(before)
