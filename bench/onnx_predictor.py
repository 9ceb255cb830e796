"""A Bundle served by the product's own Predictor, as the benchmark asks it. Knows no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.preprocess import Batch
from export.profile import tower_times
from export.runtime import Predictor

PROFILED = 20  # calls


class OnnxPredictor:
    """onnxruntime, CPU; `bench.serving.Served`."""

    def __init__(self, folder: Path, threads: int, arena: bool = True) -> None:
        """Raises BundleError."""
        self.predictor = Predictor.load(folder, threads, arena)
        self.folder = folder
        self.threads = threads
        self.reader = self.predictor.reader
        self.labels = self.predictor.bundle.labels
        self.thresholds = self.predictor.bundle.thresholds

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """float32 (B, L)."""
        return self.predictor.logits(batch)

    def towers(self, batch: Batch) -> dict[str, float] | None:
        """Shares of time by onnxruntime's own profile."""
        shares = tower_times(self.predictor.bundle.model, batch, self.threads, PROFILED)
        return {str(tower): share for tower, share in shares.items()}
