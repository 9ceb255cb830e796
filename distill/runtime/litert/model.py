"""A LiteRT file, opened by its interpreter for CPUs.

Its shapes are fixed: one example with a text of the greatest length, padded and masked, so that a batch is run row
by row. Inputs and outputs are in the order of `INPUTS`, whatever the converter calls them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import BundleError, first_line
from distill.core.extras import require
from distill.core.machine.cores import default_threads
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.towers import INPUTS

# LiteRT takes integers of 32 bits where the other runtimes take 64; ids fit either.
DTYPES = {"input_ids": np.int32, "attention_mask": np.int32, "pixels": np.uint8, "present": np.float32}


class Slot(NamedTuple):
    """An input or output, as `distill.runtime.opened.Tensor`: of a batch of any size and texts of any length, since
    `LiteRtModel.run` makes it so, and with ids of 64 bits."""

    name: str
    type: str
    shape: tuple[int | None, ...]


class LiteRtModel:
    """An interpreter, as `distill.runtime.opened.OpenedModel`; calls from several threads wait for each other."""

    def __init__(self, file: Path, pad_id: int, threads: int) -> None:
        """Raises BundleError, and InstallError when LiteRT is missing."""
        package = require("ai_edge_litert.interpreter", "a Bundle for litert", "litert")
        self.file, self.pad_id, self.title = file, pad_id, f"LiteRT {_version()}"
        self._lock = threading.Lock()
        try:
            self.interpreter = package.Interpreter(str(file), num_threads=threads or default_threads())
            self.interpreter.allocate_tensors()
        except Exception as error:
            raise BundleError(f"{file}: {self.title} cannot open it: {first_line(error)}") from error
        self.inputs = dict(zip(INPUTS, self.interpreter.get_input_details(), strict=False))
        self.outputs = self.interpreter.get_output_details()
        self._check()

    @property
    def max_tokens(self) -> int:
        """The length that every text is padded to."""
        return int(self.inputs["input_ids"]["shape"][1])

    def tensors(self) -> Sequence[Slot]:
        """The inputs, then the output."""
        size = int(self.inputs["pixels"]["shape"][1])
        return [
            Slot("input_ids", "tensor(int64)", (None, None)),
            Slot("attention_mask", "tensor(int64)", (None, None)),
            Slot("pixels", "tensor(uint8)", (None, size, size, 3)),
            Slot("present", "tensor(float)", (None, 2)),
            Slot("logits", "tensor(float)", (None, int(self.outputs[0]["shape"][1]))),
        ]

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L). Raises ValueError for a text that is longer than the file's."""
        missing = self.max_tokens - batch.input_ids.shape[1]
        if missing < 0:
            raise ValueError(f"a text has {batch.input_ids.shape[1]} tokens, and the file takes {self.max_tokens}")
        feed: dict[str, NDArray[Any]] = batch.feed()
        feed["input_ids"] = np.pad(batch.input_ids, ((0, 0), (0, missing)), constant_values=self.pad_id)
        feed["attention_mask"] = np.pad(batch.attention_mask, ((0, 0), (0, missing)))
        with self._lock:
            return np.concatenate([self._run_row(feed, row) for row in range(len(batch.present))])

    def _run_row(self, feed: dict[str, NDArray[Any]], row: int) -> NDArray[np.float32]:
        for name, details in self.inputs.items():
            self.interpreter.set_tensor(details["index"], feed[name][row : row + 1].astype(DTYPES[name]))
        self.interpreter.invoke()
        logits: NDArray[np.float32] = self.interpreter.get_tensor(self.outputs[0]["index"])
        return logits

    def _check(self) -> None:
        """Raise BundleError unless the file takes one example and returns its logits."""
        shapes = [list(map(int, details["shape"])) for details in self.interpreter.get_input_details()]
        types = [details["dtype"] for details in self.interpreter.get_input_details()]
        fits = len(shapes) == len(INPUTS) and len(self.outputs) == 1 and types == list(DTYPES.values())
        fits = fits and [len(shape) for shape in shapes] == [2, 2, 4, 2] and shapes[0] == shapes[1]
        if not fits or any(shape[0] != 1 for shape in shapes) or len(self.outputs[0]["shape"]) != 2:
            raise BundleError(
                f"{self.file}: takes {shapes} and not {', '.join(INPUTS)} of one example; run distill export again"
            )


def _version() -> str:
    try:
        return version("ai-edge-litert")
    except PackageNotFoundError:
        return "of unknown version"
