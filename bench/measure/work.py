"""How much of the machine's peak a model reaches, by its multiply-accumulates and its time."""

from __future__ import annotations

from pathlib import Path

from bench.report.types import Peak, Work
from distill.core.errors import BenchError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.profile import count_macs


def work(model: Path, batch: ModelInputs, model_ms: float, peak: Peak) -> Work:
    """Of the one example in `batch`, for which the model takes `model_ms`. What does not multiply (norms, tables,
    rounding to 8 bits) is no work here, so no model reaches 1. Raises BenchError, and as count_macs does."""
    examples, tokens = batch.input_ids.shape
    if examples != 1:
        raise BenchError(f"the work of a model is counted for one example, not for {examples}; give one")
    products = count_macs(model, batch)
    small = sum(product.macs for product in products if product.quantised)
    large = sum(product.macs for product in products if not product.quantised)
    ideal_ms = 2 * (small / peak.int8_gops + large / peak.fp32_gops) / 1e6  # operations / (10^9 / s) in ms
    return Work(
        tokens=tokens,
        low_bit_macs=small,
        float_macs=large,
        model_ms=model_ms,
        ideal_ms=ideal_ms,
        of_peak=ideal_ms / model_ms,
    )
