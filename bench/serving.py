"""A variant that is open and can be asked, whatever runs it. Knows one model at a time, no clocks.

Everything around the model is the same code for every runtime, so that a difference in time is the runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.variants import Runtime, Variant
from distill.data import Example
from distill.labels import LabelSet
from distill.metrics import Probabilities, sigmoid
from distill.preprocess import Batch, Reader
from distill.thresholds import Thresholds


class Served(Protocol):
    """What every runtime gives."""

    folder: Path  # of the run or Bundle
    reader: Reader
    labels: LabelSet
    thresholds: Thresholds

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """float32 (B, L)."""

    def towers(self, batch: Batch) -> dict[str, float] | None:
        """Shares of the model's time that its text tower, picture tower and head take for this batch, by the names
        "text", "picture" and "head", together 1; None where the runtime does not tell."""


def opener(runtime: Runtime) -> Callable[[Variant, int, bool], Served]:
    """Import what the runtime needs, and return what opens a variant with so many threads, 0 for the runtime's
    choice, and with or without onnxruntime's arena. Raises BenchError when a package is missing."""
    if runtime in ("torch", "torch dynamic int8", "torch.compile"):
        from bench.torch_predictor import TorchPredictor

        return lambda variant, threads, _: TorchPredictor(variant.folder, threads, variant.runtime)
    if runtime in ("OpenVINO", "OpenVINO NNCF int8"):
        from bench.openvino_predictor import OpenVinoPredictor, import_openvino

        import_openvino()
        return lambda variant, threads, _: OpenVinoPredictor(variant.folder, threads, variant.model)
    from bench.onnx_predictor import OnnxPredictor

    return lambda variant, threads, arena: OnnxPredictor(variant.folder, threads, arena)


def open_variant(variant: Variant, threads: int = 0) -> Served:
    """Open it; 0 threads let the runtime choose. Raises BundleError, RunError or BenchError."""
    return opener(variant.runtime)(variant, threads, True)


def answer(served: Served, texts: Sequence[str], images: Sequence[Path | None]) -> list[tuple[str, ...]]:
    """The labels decided for each example of one batch, from files and texts. Raises PictureError."""
    pictures = [served.reader.picture(image) for image in images]
    batch = served.reader.batch(served.reader.rows(texts, pictures))
    decisions = served.thresholds.apply(sigmoid(served.logits(batch)))
    return [served.labels.decode(row) for row in decisions]


def probabilities(served: Served, examples: Sequence[Example]) -> Probabilities:
    """float32 (N, L), in order, in the batches that `export.runtime.Predictor` makes. Raises PictureError."""
    from export.runtime import probabilities as in_batches  # a process that times OpenVINO imports no onnxruntime

    return in_batches(served.logits, served.reader, examples)
