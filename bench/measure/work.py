"""How near a model comes to the machine's limits: its multiply-accumulates at the peak of matrix products, and its
weights at the speed at which memory is read."""

from __future__ import annotations

from pathlib import Path

from bench.report.measured import Peak, Work
from distill.core.errors import BenchError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.profile import count_macs, weight_bytes


def work(model: Path, batch: ModelInputs, model_ms: float, peak: Peak) -> Work:
    """Of the one example in `batch`, for which the model takes `model_ms`. What does not multiply (norms, tables,
    rounding to 8 bits) is no work here, so no model reaches 1. Raises BenchError, and as count_macs does."""
    examples, tokens = batch.input_ids.shape
    if examples != 1:
        raise BenchError(f"the work of a model is counted for one example, not for {examples}; give one")
    products = count_macs(model, batch)
    small = sum(product.macs for product in products if product.quantised)
    large = sum(product.macs for product in products if not product.quantised)
    ideal_ms = peak.products_ms(small, large)
    return Work(
        tokens=tokens,
        low_bit_macs=small,
        float_macs=large,
        model_ms=model_ms,
        ideal_ms=ideal_ms,
        of_peak=ideal_ms / model_ms,
        weight_bytes=weight_bytes(model, batch),
    )
