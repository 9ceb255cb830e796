"""A training run served by PyTorch, the way `export.runtime.Predictor` serves a Bundle. Knows torch."""

from __future__ import annotations

from pathlib import Path

import torch

from distill.checkpoint import Checkpoint
from distill.metrics import sigmoid
from distill.preprocess import Reader


class TorchPredictor:
    """One example at a time, eager mode, CPU, fp32."""

    def __init__(self, folder: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.checkpoint = Checkpoint.load(folder)
        self.reader = Reader(self.checkpoint.classifier.spec, self.checkpoint.classifier.tokenizer_json)

    def predict(self, text: str, image: Path | None) -> tuple[str, ...]:
        """The labels decided for."""
        batch = self.reader.batch(self.reader.rows([text], [self.reader.picture(image)]))
        decisions = self.checkpoint.thresholds.apply(sigmoid(self.checkpoint.classifier.answer(batch)))
        return self.checkpoint.classifier.labels.decode(decisions[0])
