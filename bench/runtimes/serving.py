"""A variant that is open and can be asked, whatever runs it. Knows one model at a time, no clocks.

Everything around the model is the same code for every runtime, so that a difference in time is the runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.variants import Runtime, Variant
from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.preprocess.inputs import Batch, Reader
from distill.scoring.metrics import Probabilities, sigmoid
from distill.scoring.thresholds import Thresholds


class Served(Protocol):
    """What every runtime gives."""

    folder: Path  # of the run or Bundle
    reader: Reader
    labels: LabelSet
    thresholds: Thresholds

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """float32 (B, L)."""

    def towers(self, batch: Batch) -> dict[str, float] | None:
        """Shares of the model's time that its text tower, image tower and head take for this batch, by the names
        "text", "image" and "head", together 1; None where the runtime does not tell."""


Opener = Callable[[Variant, int, bool], Served]  # variant, threads (0: as the runtime likes), arena

# Each module's `opener()` imports what its runtime needs and returns what opens a variant. Modules are imported
# when they are asked for, so that a Bundle's process holds no torch and a packed benchmark needs none.
MODULES: dict[Runtime, str] = {
    "onnxruntime": "bench.runtimes.onnx",
    "optimum dynamic int8": "bench.runtimes.onnx",
    "torch": "bench.peers.pytorch",
    "torch dynamic int8": "bench.peers.pytorch",
    "torch.compile": "bench.peers.pytorch",
    "OpenVINO": "bench.peers.openvino",
    "OpenVINO NNCF int8": "bench.peers.openvino",
}


def opener(runtime: Runtime) -> Opener:
    """Import what the runtime needs. Raises BenchError when a package is missing."""
    open_one: Opener = import_module(MODULES[runtime]).opener()
    return open_one


def open_variant(variant: Variant, threads: int = 0) -> Served:
    """Open it; 0 threads let the runtime choose. Raises BundleError, RunError or BenchError."""
    return opener(variant.runtime)(variant, threads, True)


def answer(served: Served, texts: Sequence[str], images: Sequence[Path | None]) -> list[tuple[str, ...]]:
    """The labels decided for each example of one batch, from files and texts. Raises ImageError."""
    pixels = [served.reader.image(image) for image in images]
    batch = served.reader.batch(served.reader.rows(texts, pixels))
    decisions = served.thresholds.apply(sigmoid(served.logits(batch)))
    return [served.labels.decode(row) for row in decisions]


def probabilities(served: Served, examples: Sequence[Example]) -> Probabilities:
    """float32 (N, L), in order, in the batches that the Predictor makes. Raises ImageError."""
    # A process that times OpenVINO imports no onnxruntime.
    from distill.runtime.predictor import predict_probabilities

    return predict_probabilities(served.logits, served.reader, examples)
