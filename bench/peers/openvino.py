"""A Bundle run by OpenVINO, or an OpenVINO file in the place of its model, without onnxruntime and torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.variants import Variant
from distill.core.errors import BenchError
from distill.core.extras import require
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Bundle

UNPROFILED, PROFILED = 3, 20  # calls: what the first ones set up is no tower's time
TEXT_INPUTS = frozenset({"input_ids", "attention_mask"})


def opener() -> Callable[[Variant, int, bool], OpenVinoPredictor]:
    """For `bench.runtimes.open_model.MODULES`. Raises BenchError when OpenVINO is missing."""
    import_openvino()
    return lambda variant, threads, _: OpenVinoPredictor(variant.folder, threads, variant.model)


class OpenVinoPredictor:
    """OpenVINO on the CPU, tuned for latency, in the precision that it chooses itself.

    It shares no code with `distill.runtime.predictor.Predictor` beyond preprocessing and decisions, so that
    the process that is measured holds no onnxruntime. With 0 threads OpenVINO chooses.
    """

    def __init__(self, folder: Path, threads: int, model: Path | None = None) -> None:
        """`model` is an OpenVINO .xml that runs in place of the Bundle's. Raises BundleError, and BenchError when
        OpenVINO is missing or cannot compile the model."""
        self.openvino = import_openvino()
        self.folder = folder
        self.bundle = Bundle.open(folder)
        self.preprocessor = Preprocessor(self.bundle.preprocess, self.bundle.tokenizer_json)
        self.labels = self.bundle.labels
        self.thresholds = self.bundle.thresholds
        self.file = model or self.bundle.model
        self.settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        try:
            self.model = self._compile(self.settings)
        except RuntimeError as error:
            raise BenchError(
                f"{self.file}: OpenVINO {self.openvino.__version__} cannot compile it ({last_line(error)}); "
                f"leave out --peer {'openvino-int8' if model else 'openvino'}"
            ) from error

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        result: NDArray[np.float32] = self.model(batch.feed())["logits"]
        return result

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by OpenVINO's own profile, of a second copy of the model that is made for it: taking a
        profile slows the one that is timed."""
        model = self._compile(self.settings | {"PERF_COUNT": True})
        request, towers = model.create_infer_request(), _tower_of_nodes(model.get_runtime_model())

        def seconds_so_far(calls: int) -> dict[str, float]:
            spent = dict.fromkeys(("text", "image", "head"), 0.0)
            for node in request.profiling_info:
                tower = towers.get(node.node_name)
                if tower is not None:
                    # What it reports is a mean over all calls, the slow first ones with the rest.
                    spent[tower] += calls * node.real_time.total_seconds()
            return spent

        feed = batch.feed()
        for _ in range(UNPROFILED):
            request.infer(feed)
        before = seconds_so_far(UNPROFILED)
        for _ in range(PROFILED):
            request.infer(feed)
        after = seconds_so_far(UNPROFILED + PROFILED)
        spent = {tower: max(0.0, after[tower] - before[tower]) for tower in after}
        total = sum(spent.values())
        return {tower: seconds / total for tower, seconds in spent.items()} if total else None

    def _compile(self, settings: dict[str, Any]) -> Any:
        return self.openvino.Core().compile_model(self.file, "CPU", settings)


def import_openvino(peer: str = "openvino") -> Any:
    """The package, without what reports its use to its makers. Raises InstallError when it is missing."""
    # Importing it sends something over the network, in a thread that would be timed with the rest, unless the
    # package that does so is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return require("openvino", f"--peer {peer}")


def last_line(error: Exception) -> str:
    """The last line of an error's message, where OpenVINO, NNCF and optimum name the cause."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def _tower_of_nodes(graph: Any) -> dict[str, str | None]:
    """The tower of each node of the graph that OpenVINO really runs, by its name: what depends on `pixels` alone is
    the image's, on the token ids and their mask alone the text's; None for one that depends on no input."""
    depends: dict[str, frozenset[str]] = {}
    for node in graph.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_rt_info()["layerType"].astype(str)
        reached: frozenset[str] = frozenset({name}) if kind == "Input" else frozenset()
        if kind != "ShapeOf":  # how many examples there are is the same for all inputs: that joins no towers
            sources = [port.get_source_output().get_node().get_friendly_name() for port in node.inputs()]
            reached = reached.union(*(depends[source] for source in sources))
        depends[name] = reached
    return {name: _tower(reached) for name, reached in depends.items()}


def _tower(reached: frozenset[str]) -> str | None:
    if not reached:
        return None
    if reached == {"pixels"}:
        return "image"
    return "text" if reached <= TEXT_INPUTS else "head"
