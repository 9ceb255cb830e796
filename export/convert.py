"""Convert an exported model to another runtime's files: OpenVINO, LiteRT, or onnxruntime's format for phones."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch

from distill.core.errors import ExportError, first_line
from distill.core.extras import require
from distill.core.machine.runtimes import Runtime
from distill.core.output.quiet import quiet
from distill.model.classifier import Classifier
from distill.runtime.onnx.session import DISABLED_OPTIMIZERS
from distill.runtime.openvino.package import import_openvino, last_line
from export.to_onnx import ServedNetwork

# It arranges weights for the processor that converts, and the file is for another.
MACHINE_DEPENDENT = ["NchwcTransformer"]


def convert(classifier: Classifier, onnx: Path, runtime: Runtime) -> Path:
    """Write the runtime's files beside `onnx`, under its name, and return the first of them. LiteRT's is made from
    the network itself. Raises ExportError, and InstallError for a missing package."""
    if runtime == "onnxruntime-mobile":
        return _to_ort(onnx)
    if runtime == "openvino":
        return _to_openvino(onnx)
    return _to_litert(classifier, onnx.with_suffix(".tflite"))


def _to_ort(onnx: Path) -> Path:
    """An .ort file, and in a .config the operators that a build of onnxruntime needs for it alone."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    file = onnx.with_suffix(".ort")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        onnxruntime.InferenceSession(
            str(onnx),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=[*DISABLED_OPTIMIZERS, *MACHINE_DEPENDENT],
        )
        with quiet():
            create_config_from_models([file], file.with_suffix(".config"), False)
    except Exception as error:
        raise ExportError(
            f"onnxruntime {onnxruntime.__version__} cannot write {onnx.name} in its own format: {first_line(error)}"
        ) from error
    config = file.with_suffix(".config")
    operators = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    heading = "# What model.ort needs; build onnxruntime with --include_ops_by_config and this file."
    config.write_text("\n".join([heading, *operators]) + "\n", encoding="utf-8")  # without this machine's paths
    return file


def _to_openvino(onnx: Path) -> Path:
    """An .xml and a .bin, in float of 32 bits."""
    openvino = import_openvino("--runtime openvino")
    file = onnx.with_suffix(".xml")
    try:
        openvino.save_model(openvino.Core().read_model(onnx), file, compress_to_fp16=False)
    except Exception as error:
        raise ExportError(
            f"OpenVINO {openvino.__version__} cannot convert {onnx.name}: {last_line(error)}; export without "
            "--runtime openvino"
        ) from error
    return file


def _to_litert(classifier: Classifier, file: Path) -> Path:
    """A .tflite for one example with a text of the greatest length, which is padded and masked."""
    require("ai_edge_litert", "--format litert", "litert")  # to compare the file with torch
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise ExportError(
            f"--format litert needs litert-torch, which cannot be imported ({first_line(error)}); pip install "
            f"litert-torch in an environment with a torch that it takes (here is {torch.__version__}), and export "
            "the run there"
        ) from error
    network = ServedNetwork(classifier.network.cpu(), classifier.spec.image).eval()
    tokens, size = classifier.spec.text.max_tokens, classifier.spec.image.size
    example = (
        torch.ones(1, tokens, dtype=torch.int64),
        torch.ones(1, tokens, dtype=torch.int64),
        torch.zeros(1, size, size, 3, dtype=torch.uint8),
        torch.ones(1, 2),
    )
    try:
        with quiet():
            litert_torch.convert(network, example).export(str(file))
    except Exception as error:
        raise ExportError(
            f"litert-torch cannot convert {classifier.config.text.model}: {first_line(error)}; nothing was "
            "written. Export without --format litert, or choose another encoder"
        ) from error
    return file
