"""A training run in PyTorch: as it is, with int8 linear layers, or compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.runtimes.many import Many, by_workers
from bench.runtimes.variants import Runtime, Variant
from distill.core.errors import BenchError
from distill.core.output.quiet import quiet
from distill.model.checkpoint import Checkpoint
from distill.preprocess.images import normalise
from distill.preprocess.inputs import ModelInputs, Preprocessor, PreprocessSpec
from distill.runtime.pool import WorkerPool

ROUNDS = 20  # calls whose towers are timed


def opener() -> Callable[[Variant, int, bool], TorchPredictor]:
    """For `bench.runtimes.open_model.MODULES`."""
    return lambda variant, threads, _: TorchPredictor(variant.folder, threads, variant.runtime)


class TorchPredictor:
    """One run on the CPU, as `bench.runtimes.open_model.OpenModel`. With 0 threads torch chooses."""

    def __init__(self, folder: Path, threads: int, runtime: Runtime) -> None:
        """Raises RunError, and BenchError when this torch cannot quantise or compile."""
        if threads:
            torch.set_num_threads(threads)
        checkpoint = Checkpoint.load(folder)
        classifier = checkpoint.classifier
        self.folder = folder
        self.spec = classifier.spec
        reads_images = classifier.network.modalities != "text"
        self.preprocessor = Preprocessor(self.spec, classifier.tokenizer_json, reads_images)
        self.labels = classifier.labels
        self.thresholds = checkpoint.thresholds
        self.network: Any = classifier.network
        self.divides = runtime != "torch.compile"  # a compiled graph is one piece, without towers
        if runtime == "torch dynamic int8":
            self.network = quantised(classifier.network)
        elif runtime == "torch.compile":
            self.network = _compiled(classifier.network, self.spec)

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        with torch.inference_mode():
            result: NDArray[np.float32] = self.network(**_inputs(batch, self.spec)).numpy()
        return result

    def many(self, threads: int) -> Many:
        """Workers that each run the network on one thread, which is more a second than all threads for one batch; a
        compiled network, whose code is made for so many threads, runs in one."""
        if not self.divides:
            return by_workers(self, self.logits, WorkerPool(1), f"1 worker, the network on {threads} threads")
        torch.set_num_threads(1)
        return by_workers(
            self, self.logits, WorkerPool(threads), f"{threads} workers, the network on one thread in each"
        )

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by the wall clock around each encoder; an image's normalisation, which a Bundle's graph
        holds, is the image tower's. None for a compiled network."""
        if not self.divides:
            return None
        self.logits(batch)  # what the first call sets up is no tower's time
        spent = {"text": 0.0, "image": 0.0}
        # The network asks the text encoder for its states and pools them itself: the time is in the backbone.
        encoders = ((self.network.text.backbone, "text"), (self.network.image, "image"))
        hooks = [hook for encoder, name in encoders for hook in _clocked(encoder, partial(_add, spent, name))]
        whole = 0.0
        try:
            with torch.inference_mode():
                for _ in range(ROUNDS):
                    start = time.perf_counter()
                    inputs = _inputs(batch, self.spec)
                    normalised = time.perf_counter()
                    self.network(**inputs)
                    whole += time.perf_counter() - start
                    spent["image"] += normalised - start
        finally:
            for hook in hooks:
                hook.remove()
        spent["head"] = whole - sum(spent.values())
        return {tower: seconds / whole for tower, seconds in spent.items()}


def quantised(network: nn.Module) -> nn.Module:
    """Its linear layers in int8, in place: weights now, inputs as they come. Raises BenchError."""
    try:
        with quiet():  # torch warns that this is deprecated, which is why its absence is caught here
            from torch.ao.quantization import quantize_dynamic

            int8: nn.Module = quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8, inplace=True)
    except (ImportError, RuntimeError, NotImplementedError) as error:
        raise BenchError(
            f"PyTorch {torch.__version__} cannot quantise linear layers dynamically ({_reason(error)}); "
            "leave out --peer torch-int8"
        ) from error
    return int8


def _compiled(network: nn.Module, spec: PreprocessSpec) -> Any:
    """The network as machine code for texts of any length, already compiled. Raises BenchError."""
    from torch._dynamo import maybe_mark_dynamic
    from torch._dynamo.utils import counters
    from torch._inductor import config

    config.compile_threads = 1  # else it starts processes that would run beside what is timed
    # Without weights frozen into it: on a CPU that took twice as long to open and was no faster.
    options = {"cpp.threads": torch.get_num_threads()}
    try:
        # One whole graph or an error: it never falls back to eager, as it does after a break or a recompilation
        # too many. Whatever was exported to a Bundle is such a graph.
        compiled = torch.compile(network, fullgraph=True, options=options)
        with torch.inference_mode(), quiet():  # inputs made outside of it would count as others, and recompile
            for length in (spec.text.max_tokens, max(2, spec.text.max_tokens // 2)):
                inputs = _inputs(_blank(spec, length), spec)
                for name in ("input_ids", "attention_mask"):
                    maybe_mark_dynamic(inputs[name], 1)
                compiled(**inputs)
    except (RuntimeError, OSError) as error:  # torch's errors of compilation are RuntimeErrors
        raise BenchError(
            f"PyTorch {torch.__version__} cannot compile the network ({_reason(error)}); it needs a C++ compiler, "
            "such as g++: install one, or leave out --peer torch-compile"
        ) from error
    if not counters["stats"]["unique_graphs"]:  # of this process: a second network of one shape uses the first's
        raise BenchError(
            f"torch.compile of PyTorch {torch.__version__} compiled nothing; unset TORCH_COMPILE_DISABLE and "
            "TORCHDYNAMO_DISABLE, or leave out --peer torch-compile"
        )
    return compiled


def _blank(spec: PreprocessSpec, length: int) -> ModelInputs:
    """One example of `length` tokens and a black image."""
    ids = np.full((1, length), spec.text.pad_id, dtype=np.int64)
    pixels = np.zeros((1, spec.image.size, spec.image.size, 3), dtype=np.uint8)
    return ModelInputs(ids, np.ones_like(ids), pixels, np.ones((1, 2), dtype=np.float32))


def _inputs(batch: ModelInputs, spec: PreprocessSpec) -> dict[str, Tensor]:
    """What the network takes, pixels normalised, as `distill.model.classifier.Classifier.answer` does it."""
    arrays = batch.feed() | {"pixels": normalise(batch.pixels, spec.image)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _clocked(module: nn.Module, add: Callable[[float], None]) -> list[Any]:
    """Hooks that `add` the seconds of each call of the module."""
    starts: list[float] = []
    return [
        module.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter())),
        module.register_forward_hook(lambda *_: add(time.perf_counter() - starts.pop())),
    ]


def _add(spent: dict[str, float], name: str, seconds: float) -> None:
    spent[name] += seconds


def _reason(error: Exception) -> str:
    """The compiler's complaint when there is one, else the first line: torch's advice on debugging comes after."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if " error: " in line), lines[0])
