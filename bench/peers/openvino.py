"""A Bundle run by OpenVINO as it comes, or an OpenVINO file in its model's place, without onnxruntime and torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.many import Many, decide
from bench.runtimes.variants import Variant
from distill.core.errors import BenchError, BundleError
from distill.data.dataset import Example
from distill.preprocess.inputs import ModelInputs
from distill.runtime.bundle import Bundle
from distill.runtime.openvino.model import OpenVinoModel, read_model
from distill.runtime.openvino.package import import_openvino
from distill.runtime.pool import WorkerPool
from distill.scoring.probabilities import to_probabilities


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
        self.preprocessor = self.bundle.preprocessor()
        self.labels = self.bundle.labels
        self.thresholds = self.bundle.thresholds
        try:
            self.model = OpenVinoModel(model or self.bundle.model, threads, precision={})
        except BundleError as error:
            raise BenchError(f"{error}; leave out --peer {'openvino-int8' if model else 'openvino'}") from error

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""
        return self.model.run(batch)

    def many(self, threads: int) -> Many:
        """As OpenVINO's guide to throughput has it: its hint for it, which chooses the number of streams, and an
        asynchronous queue of as many requests as the compiled model says are best."""
        ov = self.model.openvino
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": threads}
        core = ov.Core()
        compiled = core.compile_model(read_model(core, self.model.file), "CPU", settings)
        queue, pool = ov.AsyncInferQueue(compiled), WorkerPool(threads)

        def prepare(posts: Sequence[Example]) -> ModelInputs:
            images = [self.preprocessor.image(post.image) for post in posts]
            return self.preprocessor.batch(self.preprocessor.rows([post.text for post in posts], images))

        def answer(posts: Sequence[Example], batch: int) -> list[tuple[str, ...]]:
            order = sorted(range(len(posts)), key=lambda place: len(posts[place].text))  # little padding
            places = [order[start : start + batch] for start in range(0, len(order), batch)]
            logits = np.zeros((len(posts), len(self.labels)), dtype=np.float32)

            def keep(request: Any, into: list[int]) -> None:
                logits[into] = request.get_tensor("logits").data

            queue.set_callback(keep)
            batches = pool.map(prepare, ([posts[place] for place in into] for into in places))
            for into, inputs in zip(places, batches, strict=True):
                queue.start_async(inputs.feed(), into)
            queue.wait_all()
            return [decide(self, row) for row in to_probabilities(logits, self.labels.group_columns)]

        streams = compiled.get_property("NUM_STREAMS")
        how = f"throughput hint: {streams} streams, {len(queue)} requests at once; {threads} workers prepare posts"
        return Many(how, answer)

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of time by OpenVINO's own profile."""
        from distill.runtime.openvino.profile import tower_time_shares

        shares = tower_time_shares(self.model, batch)
        return None if shares is None else {str(tower): share for tower, share in shares.items()}
