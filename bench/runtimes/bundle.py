"""A Bundle run by the product's own Predictor, in whichever runtime opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.many import Many, by_workers
from bench.runtimes.variants import OPTIONS, Variant
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.towers import Tower
from distill.runtime.opened import RunOptions
from distill.runtime.predictor import Predictor

PROFILED = 20  # calls


def opener() -> Callable[[Variant, int, bool], BundlePredictor]:
    """For `bench.runtimes.open_model.MODULES`."""

    def open_one(variant: Variant, threads: int, arena: bool) -> BundlePredictor:
        provider, runtime = OPTIONS.get(variant.runtime, ("cpu", None))
        return BundlePredictor(variant.folder, threads, RunOptions(0, arena, provider, runtime))

    return open_one


class BundlePredictor:
    """As `bench.runtimes.open_model.OpenModel`."""

    def __init__(self, folder: Path, threads: int, options: RunOptions) -> None:
        """Raises BundleError and InstallError."""
        self.predictor = Predictor.load(folder, threads, options)
        self.folder = folder
        self.threads = threads
        self.preprocessor = self.predictor.preprocessor
        self.labels = self.predictor.bundle.labels
        self.thresholds = self.predictor.bundle.thresholds

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        return self.predictor.logits(batch)

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by the profile of onnxruntime on the CPU or of OpenVINO; None for another."""
        shares = self._shares(batch)
        return None if shares is None else {str(tower): share for tower, share in shares.items()}

    def many(self, threads: int) -> Many:
        """The product's own workers; a model that onnxruntime runs on the CPU has one thread in each."""
        pool, alone = self.predictor.pool, self.predictor.runtime.startswith("onnxruntime")
        alone = alone and self.predictor.options.provider == "cpu"
        how = f"{pool.workers} workers" if pool.workers > 1 else "1 worker"
        how += (
            ", the model on one thread in each" if alone else f"; the model has {pool.workers} threads of its own"
        )
        return by_workers(self, self.predictor.logits, pool, how)

    def _shares(self, batch: ModelInputs) -> dict[Tower, float] | None:
        bundle, runtime = self.predictor.bundle, self.predictor.runtime
        if runtime == "onnxruntime" and self.predictor.options.provider == "cpu":
            from distill.runtime.onnx.profile import tower_time_shares

            return tower_time_shares(bundle.model, batch, self.threads, PROFILED)
        if runtime == "openvino":
            from distill.runtime.openvino.model import OpenVinoModel
            from distill.runtime.openvino.profile import tower_time_shares as openvino_shares

            assert isinstance(self.predictor.model, OpenVinoModel)
            return openvino_shares(self.predictor.model, batch)
        return None
