"""Refuses a model's files that could do more than compute, each format by its own guard."""

from __future__ import annotations

from pathlib import Path

from distill.core.machine.runtimes import Runtime
from distill.runtime.litert.guard import check_litert_file
from distill.runtime.onnx.guard import check_onnx_file
from distill.runtime.onnx.ort_guard import check_ort_file
from distill.runtime.openvino.guard import check_ir


def check_model(model: Path, runtime: Runtime) -> None:
    """Raise BundleError for a model that is damaged or unsafe to open."""
    if runtime == "onnxruntime":
        check_onnx_file(model)
    elif runtime == "onnxruntime-mobile":
        check_ort_file(model)
    elif runtime == "openvino":
        check_ir(model, model.with_suffix(".bin"))
    else:
        check_litert_file(model)
