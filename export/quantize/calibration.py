"""Measure the ranges that the tensors of a graph take on real examples."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

from distill.core.output.terminal import track
from distill.preprocess.inputs import ModelInputs

RangeMethod = Literal["minmax", "entropy", "percentile"]
Ranges = dict[str, tuple[float, float]]  # least and greatest value of a tensor, by its name

RANGE_METHODS: dict[RangeMethod, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
OPERATORS = ["Conv", "Clip", "Relu", "Add", "Mul", "MatMul", "Gemm"]
PERCENTILE = 99.99


def calibrate_ranges(model: Path, batches: Sequence[ModelInputs], method: RangeMethod) -> Ranges:
    """The range of every tensor that may be quantised, over `batches`.

    "minmax" takes the extremes, "percentile" leaves out the far 0.01 %, "entropy" chooses the range whose
    rounding keeps most of the distribution (Migacz 2017, "8-bit Inference with TensorRT").
    """
    with tempfile.TemporaryDirectory(prefix="distill-calibrate-") as folder:
        calibrator = create_calibrator(
            str(model),
            OPERATORS,
            augmented_model_path=str(Path(folder) / "watched.onnx"),
            calibrate_method=RANGE_METHODS[method],
            extra_options={"percentile": PERCENTILE} if method == "percentile" else {},
        )
        with redirect_stdout(io.StringIO()):  # its progress; standard output belongs to results
            # One at a time: all at once, the tensors of all batches would be held together.
            for batch in track(batches, f"calibrating ({method})", len(batches)):
                calibrator.collect_data(_OneBatch(batch))
            tensors = calibrator.compute_data().data
    limits = {name: [np.asarray(end).item() for end in tensor.range_value] for name, tensor in tensors.items()}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


class _OneBatch(CalibrationDataReader):
    """One batch, as onnxruntime asks for it."""

    def __init__(self, batch: ModelInputs) -> None:
        self.feeds = iter([batch.feed()])

    def get_next(self) -> dict[str, Any] | None:
        """The batch's inputs, then None."""
        return next(self.feeds, None)
