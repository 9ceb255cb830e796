"""A Bundle run by OpenVINO as it comes, or an OpenVINO file in its model's place, without onnxruntime and torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.variants import Variant
from distill.core.errors import BenchError, BundleError
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Bundle
from distill.runtime.openvino.model import OpenVinoModel
from distill.runtime.openvino.package import import_openvino


def opener() -> Callable[[Variant, int, bool], OpenVinoPredictor]:
    """For `bench.runtimes.open_model.MODULES`. Raises InstallError when OpenVINO is missing."""
    import_openvino("--peer openvino", "peers")
    return lambda variant, threads, _: OpenVinoPredictor(variant.folder, threads, variant.model)


class OpenVinoPredictor:
    """OpenVINO on the CPU, tuned for latency, in the precision that it chooses itself; a Bundle that distill opens
    in OpenVINO computes in f32 what is not int8."""

    def __init__(self, folder: Path, threads: int, model: Path | None = None) -> None:
        """`model` is an OpenVINO .xml that runs in place of the Bundle's. Raises BundleError, and BenchError when
        OpenVINO cannot compile the model."""
        self.folder = folder
        self.bundle = Bundle.open(folder)
        self.preprocessor = Preprocessor(self.bundle.preprocess, self.bundle.tokenizer_json)
        self.labels = self.bundle.labels
        self.thresholds = self.bundle.thresholds
        try:
            self.model = OpenVinoModel(model or self.bundle.model, threads, precision={})
        except BundleError as error:
            raise BenchError(f"{error}; leave out --peer {'openvino-int8' if model else 'openvino'}") from error

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        return self.model.run(batch)

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by OpenVINO's own profile."""
        from distill.runtime.openvino.profile import tower_time_shares

        shares = tower_time_shares(self.model, batch)
        return None if shares is None else {str(tower): share for tower, share in shares.items()}
