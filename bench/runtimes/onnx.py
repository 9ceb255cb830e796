"""A Bundle run by the product's own Predictor, as the benchmark asks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.variants import Variant
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.profile import tower_time_shares
from distill.runtime.predictor import Predictor

PROFILED = 20  # calls


def opener() -> Callable[[Variant, int, bool], OnnxPredictor]:
    """For `bench.runtimes.open_model.MODULES`."""
    return lambda variant, threads, arena: OnnxPredictor(variant.folder, threads, arena)


class OnnxPredictor:
    """onnxruntime on the CPU, as `bench.runtimes.open_model.OpenModel`."""

    def __init__(self, folder: Path, threads: int, arena: bool = True) -> None:
        """Raises BundleError."""
        self.predictor = Predictor.load(folder, threads, arena)
        self.folder = folder
        self.threads = threads
        self.preprocessor = self.predictor.preprocessor
        self.labels = self.predictor.bundle.labels
        self.thresholds = self.predictor.bundle.thresholds

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        return self.predictor.logits(batch)

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by onnxruntime's own profile."""
        shares = tower_time_shares(self.predictor.bundle.model, batch, self.threads, PROFILED)
        return {str(tower): share for tower, share in shares.items()}
