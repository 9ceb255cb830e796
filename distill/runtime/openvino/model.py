"""A model compiled by OpenVINO for the CPU, from an .xml with its .bin beside it or from an .onnx file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import BundleError
from distill.core.machine.cores import session_threads
from distill.preprocess.inputs import ModelInputs
from distill.runtime.openvino.package import import_openvino, last_line

TYPES = {"f32": "float", "i64": "int64", "u8": "uint8", "i32": "int32"}
# What is not int8 in f32, so that answers do not depend on the processor: OpenVINO itself takes bf16 where it can.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


class Port(NamedTuple):
    """An input or output, as `distill.runtime.opened.Tensor`."""

    name: str
    type: str
    shape: tuple[int | None, ...]


class OpenVinoModel:
    """A compiled model, as `distill.runtime.opened.OpenedModel`; calls from several threads are safe."""

    def __init__(self, file: Path, threads: int, precision: dict[str, str] | None = None) -> None:
        """0 threads: as OpenVINO chooses, within a container's quota; `precision` {} lets it choose that too.

        Raises BundleError, and InstallError when OpenVINO is missing."""
        self.openvino = import_openvino()
        self.file, self.title = file, f"OpenVINO {self.openvino.__version__.partition('-')[0]}"
        self.settings = {
            "INFERENCE_NUM_THREADS": threads or session_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            **(EXACT if precision is None else precision),
        }
        self.compiled = self.compile({})
        self._own = threading.local()  # a request holds the tensors of one call

    def compile(self, more: dict[str, Any], shapes: dict[str, list[int]] | None = None) -> Any:
        """The model compiled once more, with other settings or for fixed `shapes` by input. Raises BundleError."""
        core = self.openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # what is read now does not change when the file does
        try:
            model = read_model(core, self.file)
            if shapes is not None:
                model.reshape(shapes)
            return core.compile_model(model, "CPU", self.settings | more)
        except Exception as error:
            raise BundleError(f"{self.file}: {self.title} cannot open it: {last_line(error)}") from error

    def tensors(self) -> Sequence[Port]:
        """The inputs, then the outputs."""
        return [_port(port) for port in (*self.compiled.inputs, *self.compiled.outputs)]

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L)."""
        if not hasattr(self._own, "request"):
            self._own.request = self.compiled.create_infer_request()
        logits: NDArray[np.float32] = self._own.request.infer(batch.feed())["logits"]
        return logits


def read_model(core: Any, file: Path) -> Any:
    """The model of an .onnx file, or of an .xml, whose weights are in the .bin beside it and nowhere else."""
    return core.read_model(file, file.with_suffix(".bin")) if file.suffix == ".xml" else core.read_model(file)


def batch_shapes(batch: ModelInputs) -> dict[str, list[int]]:
    """The shape of each input."""
    return {name: list(array.shape) for name, array in batch.feed().items()}


def _port(port: Any) -> Port:
    kind = port.element_type.to_string()
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return Port(next(iter(sorted(port.names)), ""), f"tensor({TYPES.get(kind, kind)})", shape)
