"""The names of the runtimes that open a Bundle, and of onnxruntime's execution providers."""

from __future__ import annotations

from typing import Literal, get_args

# What a manifest says. "onnxruntime-mobile" is a file in onnxruntime's own format, which its small builds for
# phones open and the full one too.
Runtime = Literal["onnxruntime", "onnxruntime-mobile", "openvino", "litert"]
Provider = Literal["cpu", "openvino", "cuda", "coreml", "xnnpack"]

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
# What may open a Bundle in place of the runtime that it was made for.
ALTERNATIVES: dict[Runtime, tuple[Runtime, ...]] = {"onnxruntime": ("openvino",)}
# What a report calls a Bundle's file.
FORMAT_NAMES: dict[Runtime, str] = {
    "onnxruntime": "ONNX",
    "onnxruntime-mobile": "ORT",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
}
