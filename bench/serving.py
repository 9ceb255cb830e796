"""A variant that is open and can be asked, whatever runs it. Knows one model at a time, no clocks.

Everything around the model is the same code for every runtime, so that a difference in time is the runtime's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.variants import Variant
from distill.data import Example
from distill.errors import BenchError
from distill.labels import LabelSet
from distill.metrics import Probabilities, sigmoid
from distill.preprocess import Batch, Reader
from distill.thresholds import Thresholds

BATCH = 16


class Served(Protocol):
    """What every runtime gives."""

    reader: Reader
    labels: LabelSet
    thresholds: Thresholds

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """float32 (B, L)."""

    def towers(self, batch: Batch) -> dict[str, float] | None:
        """Shares of the model's time that its text tower, picture tower and head take for this batch, by the names
        "text", "picture" and "head", together 1; None where the runtime does not tell."""


def open_variant(variant: Variant, threads: int, arena: bool = True) -> Served:
    """Open it; 0 threads let the runtime choose. Raises BundleError, RunError or BenchError."""
    if variant.runtime in ("torch", "torch dynamic int8", "torch.compile"):
        from bench.torch_predictor import TorchPredictor

        return TorchPredictor(variant.folder, threads, variant.runtime)
    if variant.runtime in ("OpenVINO", "OpenVINO NNCF int8"):
        from bench.openvino_predictor import OpenVinoPredictor

        return OpenVinoPredictor(variant.folder, threads, variant.model)
    if variant.runtime in ("onnxruntime", "optimum dynamic int8"):
        from bench.onnx_predictor import OnnxPredictor

        return OnnxPredictor(variant.folder, threads, arena)
    raise BenchError(f"{variant.name}: no such runtime: {variant.runtime}")


def answer(served: Served, texts: Sequence[str], images: Sequence[Path | None]) -> list[tuple[str, ...]]:
    """The labels decided for each example of one batch, from files and texts. Raises PictureError."""
    pictures = [served.reader.picture(image) for image in images]
    batch = served.reader.batch(served.reader.rows(texts, pictures))
    decisions = served.thresholds.apply(sigmoid(served.logits(batch)))
    return [served.labels.decode(row) for row in decisions]


def probabilities(served: Served, examples: Sequence[Example]) -> Probabilities:
    """float32 (N, L), in order. Raises PictureError."""
    parts = []
    for start in range(0, len(examples), BATCH):
        chunk = examples[start : start + BATCH]
        pictures = [served.reader.picture(example.image) for example in chunk]
        batch = served.reader.batch(served.reader.rows([example.text for example in chunk], pictures))
        parts.append(sigmoid(served.logits(batch)))
    return np.concatenate(parts)
