"""One interface to an open model, whatever runs it, and the choice of what does.

A Bundle's manifest names its runtime. The user may choose another that opens the same file (`ALTERNATIVES`), or one
of onnxruntime's execution providers. What a runtime needs is imported when it is opened, so that a process which
runs OpenVINO holds no onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import BundleError, RecipeError
from distill.core.machine.cores import default_threads
from distill.core.machine.runtimes import ALTERNATIVES, Provider, Runtime
from distill.preprocess.inputs import ModelInputs
from distill.runtime.bundle import Bundle
from distill.scoring.selective import least_confidence

GPU_BATCH = 16


class Tensor(Protocol):
    """A model's input or output, as onnxruntime describes it."""

    @property
    def name(self) -> str:
        """Its name, such as "pixels"."""

    @property
    def type(self) -> str:
        """Its element type, such as "tensor(uint8)"."""

    @property
    def shape(self) -> Sequence[int | str | None]:
        """Its sizes; a name or None for one that may be any."""


class OpenedModel(Protocol):
    """A model that is ready to run."""

    title: str  # the runtime and its version, for messages

    def tensors(self) -> Sequence[Tensor]:
        """The inputs, then the outputs."""

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L). Raises whatever the runtime raises."""


Features = dict[str, NDArray[Any]]  # what a tower gives to the head, by the names of the tensors


@runtime_checkable
class Towers(OpenedModel, Protocol):
    """A model whose two towers run by themselves, or that is a text tower alone, whose features are its logits;
    `run` does no more than join them."""

    def widen(self, check: Callable[[], None]) -> None:
        """Open what a text tower needs to have several threads, once. `check` raises BundleError when the file is
        no longer the one that was opened; the tower keeps its one thread then."""

    def text_features(self, batch: ModelInputs, wide: bool = False) -> Features:
        """What the text tower makes of ids, mask and present; pixels are not looked at. `wide`, it has the
        threads that `widen` gave it."""

    def image_features(self, batch: ModelInputs) -> Features:
        """What the image tower makes of the pixels; nothing where there is none."""

    def fuse(self, batch: ModelInputs, features: Features) -> NDArray[np.float32]:
        """Logits float32 (B, L) from the features of both towers."""


@dataclass(frozen=True)
class RunOptions:
    """How a Bundle is opened: for so many worker threads, 0 for as many as this process may use; with
    onnxruntime's arena, which holds memory between calls; by an execution provider of onnxruntime; in another
    runtime than its own; and how many posts run together, 0 for one, or GPU_BATCH on a GPU. `raw` predictions have
    the probabilities from before calibration. With `abstain`, a precision, it leaves to a person what it is not
    sure enough of to hold that."""

    threads: int = 0
    arena: bool = True
    provider: Provider = "cpu"
    runtime: Runtime | None = None
    batch: int = 0
    raw: bool = False
    abstain: float | None = None

    @property
    def workers(self) -> int:
        """The number of worker threads."""
        return self.threads or default_threads()

    @property
    def batch_size(self) -> int:
        """How many posts run together."""
        return self.batch or (GPU_BATCH if self.provider == "cuda" else 1)


def answer_cut(bundle: Bundle, options: RunOptions) -> float | None:
    """How sure an answer must be, None where all posts are answered. Raises BundleError where the Bundle does not
    say it of that precision."""
    if options.abstain is None:
        return None
    thresholds = bundle.thresholds
    try:
        return least_confidence(thresholds.answer_cuts, options.abstain, str(thresholds.fitted_on))
    except RecipeError as error:
        raise BundleError(f"{bundle.folder}: {error}") from error


def chosen_runtime(bundle: Bundle, options: RunOptions) -> Runtime:
    """The runtime that opens the Bundle. Raises BundleError for one that cannot, or a provider of another."""
    runtime = options.runtime or bundle.runtime
    possible = (bundle.runtime, *ALTERNATIVES.get(bundle.runtime, ()))
    if runtime not in possible:
        raise BundleError(
            f"{bundle.folder}: is made for {bundle.runtime}, which --runtime {runtime} cannot open; expected "
            f"{' or '.join(possible)}"
        )
    if options.provider != "cpu" and not runtime.startswith("onnxruntime"):
        raise BundleError(
            f"{bundle.folder}: --provider {options.provider} is one of onnxruntime's, and {runtime} opens this "
            "Bundle; leave out --provider"
        )
    return runtime


def open_model(bundle: Bundle, options: RunOptions, exact: bool) -> OpenedModel:
    """Open the model of a Bundle that was checked. `exact`: its int8 products would overflow on this machine.

    Raises BundleError, and InstallError where the runtime or the provider is not installed.
    """
    runtime = chosen_runtime(bundle, options)
    if exact and not runtime.startswith("onnxruntime"):
        raise BundleError(
            f"{bundle.folder}: was quantised for {bundle.target}, and its int8 products would overflow in "
            f"{runtime} on this machine; run distill export --target x86-avx2"
        )
    model = open_file(bundle.model, runtime, bundle.preprocess.text.pad_id, options, exact)
    _check_signature(model, bundle)
    return model


def open_file(file: Path, runtime: Runtime, pad_id: int, options: RunOptions, exact: bool = False) -> OpenedModel:
    """Open a model's file in a runtime. Raises as `open_model` does."""
    if runtime.startswith("onnxruntime"):
        from distill.runtime.onnx.session import OnnxModel
        from distill.runtime.onnx.tower_sessions import open_towers

        if options.provider != "cpu":
            return OnnxModel(file, options.threads, exact, options.arena, options.provider)
        towers = open_towers(file, options.workers, exact, options.arena) if runtime == "onnxruntime" else None
        return towers or OnnxModel(file, 1, exact, options.arena)  # one thread: the workers run it side by side
    if runtime == "openvino":
        from distill.runtime.openvino.model import OpenVinoModel

        return OpenVinoModel(file, options.threads)
    from distill.runtime.litert.model import LiteRtModel

    return LiteRtModel(file, pad_id, options.threads)


def _check_signature(model: OpenedModel, bundle: Bundle) -> None:
    """Raise BundleError unless the model takes what `ModelInputs.feed` gives and returns logits (B, L)."""
    size = bundle.preprocess.image.size
    signature: dict[str, tuple[str, list[int | None]]] = {
        "input_ids": ("tensor(int64)", [None, None]),
        "attention_mask": ("tensor(int64)", [None, None]),
        "pixels": ("tensor(uint8)", [None, size, size, 3]),
        "present": ("tensor(float)", [None, 2]),
        "logits": ("tensor(float)", [None, len(bundle.labels)]),
    }
    tensors = model.tensors()
    if sorted(tensor.name for tensor in tensors) != sorted(signature):
        names = ", ".join(tensor.name[:40] for tensor in tensors[:8])
        raise BundleError(
            f"{bundle.model}: takes and gives {names}, not {', '.join(signature)}; run distill export again"
        )
    for tensor in tensors:
        type_, shape = signature[tensor.name]
        fits = len(tensor.shape) == len(shape) and all(
            isinstance(actual, str | None) or actual == expected  # a symbol, or None, may be any size
            for actual, expected in zip(tensor.shape, shape, strict=True)
        )
        if tensor.type != type_ or not fits:
            actual = f"{tensor.type} {tensor.shape}"[:120]
            raise BundleError(
                f"{bundle.model}: {tensor.name} is {actual}, not {type_} {shape}; run distill export again"
            )
