"""In which arithmetic a training runs: what the recipe says, or bf16 where it is quicker and loses nothing."""

from __future__ import annotations

import torch

from distill.core.output.terminal import warn
from distill.core.settings.model_config import ModelConfig
from distill.model.compute import Arithmetic, autocast, default_device, training_arithmetic
from distill.model.dataset import EncodedDataset
from distill.training.loop.two_tower_trainer import NetworkWithLoss

AGREES = 0.02  # of the loss of a batch: bf16 has 8 bits, and changes the loss of a sound encoder by a tenth of that


def choose_arithmetic(model: NetworkWithLoss, config: ModelConfig, train: EncodedDataset) -> Arithmetic:
    """That of `config.precision`. Where "auto" finds a processor that multiplies bf16, the loss of a batch decides:
    in bf16 it must be that of fp32, or training is in fp32, which is said."""
    arithmetic = training_arithmetic(config.precision)
    if config.precision != "auto" or arithmetic != "bf16" or default_device().type != "cpu":
        return arithmetic
    exact, rounded = (_batch_loss(model, train, config.batch_size, each) for each in ("fp32", "bf16"))
    if abs(rounded - exact) <= AGREES * abs(exact):
        return "bf16"
    warn(f"training is in fp32: in bf16 the loss of the first batch is {rounded:.5g}, not {exact:.5g}")
    return "fp32"


def _batch_loss(model: NetworkWithLoss, train: EncodedDataset, rows: int, arithmetic: Arithmetic) -> float:
    batch = train.collate([train[row] for row in range(min(rows, len(train)))])
    model.eval()
    with torch.no_grad(), autocast(arithmetic):
        loss, _ = model(**batch.flat())
    return float(loss)
