"""One interface to an open model, whatever runs it.

Everything around the model is the same code for every runtime, so that a difference in time is the runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.many import Many
from bench.runtimes.variants import OF_BUNDLES, OPTIONS, Runtime, Variant, variant_from_path
from distill.core.errors import BenchError
from distill.core.machine import runtimes
from distill.core.machine.runtimes import Provider
from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Bundle
from distill.runtime.opened import RunOptions, chosen_runtime
from distill.runtime.pipeline import Pipeline, predict_probabilities
from distill.runtime.pool import WorkerPool
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import Probabilities
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import Thresholds


class OpenModel(Protocol):
    """What every runtime offers."""

    folder: Path  # of the run or Bundle
    preprocessor: Preprocessor
    labels: LabelSet
    thresholds: Thresholds

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L)."""

    def towers(self, batch: ModelInputs) -> dict[str, float] | None:
        """Shares of the model's time that its text tower, image tower and head take for this batch, by the names
        "text", "image" and "head", together 1; None where the runtime does not tell."""

    def many(self, threads: int) -> Many:
        """Its own best way to answer many posts with so many threads. The model may be good for nothing else
        afterwards."""


@runtime_checkable
class OwnModel(Protocol):
    """A Bundle that the product's own Predictor runs."""

    predictor: Predictor


PEER_BATCH = 16  # posts that another runtime gets together, when its quality is measured
Opener = Callable[[Variant, int, bool], OpenModel]  # variant, threads (0: as the runtime likes), arena

# Each module's `opener()` imports what its runtime needs and returns what opens a variant. Modules are imported
# when they are asked for, so that a Bundle's process holds no torch and a packed benchmark needs none.
MODULES: dict[Runtime, str] = {
    **dict.fromkeys(("onnxruntime", "optimum dynamic int8", *OPTIONS), "bench.runtimes.bundle"),
    "torch": "bench.peers.pytorch",
    "torch dynamic int8": "bench.peers.pytorch",
    "torch.compile": "bench.peers.pytorch",
    "OpenVINO": "bench.peers.openvino",
    "OpenVINO NNCF int8": "bench.peers.openvino",
}


def opener(runtime: Runtime) -> Opener:
    """Import what the runtime needs. Raises BenchError when a package is missing."""
    open_one: Opener = import_module(MODULES[runtime]).opener()
    return open_one


def open_variant(variant: Variant, threads: int = 0) -> OpenModel:
    """Open it; 0 threads let the runtime choose. Raises BundleError, RunError or BenchError."""
    return opener(variant.runtime)(variant, threads, True)


def opened_otherwise(variant: Variant, provider: Provider, runtime: runtimes.Runtime | None) -> Variant:
    """The same Bundle by a provider of onnxruntime, or in another runtime than its own. Raises BenchError for a
    training run, and BundleError for a Bundle that cannot be opened so."""
    if variant.runtime not in OF_BUNDLES.values():
        raise BenchError(f"{variant.folder}: is a training run; --provider and --runtime are for Bundles")
    bundle, options = Bundle.open(variant.folder), RunOptions(provider=provider, runtime=runtime)
    if chosen_runtime(bundle, options) == bundle.runtime and provider == "cpu":
        return variant
    label = next(name for name, known in OPTIONS.items() if known == (provider, runtime))
    return replace(variant, name=f"{variant.name} ({label})", runtime=label)


def other_openings(
    bundle: Path, providers: Sequence[Provider], others: Sequence[runtimes.Runtime]
) -> list[Variant]:
    """The Bundle once more for each provider and each other runtime, all of which are tried before anything slow.

    Raises BenchError for what opens it anyway, and BundleError or InstallError for what cannot."""
    own, variants = variant_from_path(bundle), []
    wanted: list[tuple[Provider, runtimes.Runtime | None]] = [(provider, None) for provider in providers]
    wanted += [("cpu", other) for other in others]
    for provider, other in dict.fromkeys(wanted):
        variant = opened_otherwise(own, provider, other)
        if variant.runtime == own.runtime:
            raise BenchError(f"{bundle}: is measured with {other or provider} anyway; leave that option out")
        open_variant(variant, 1)
        variants.append(variant)
    return variants


def answer(model: OpenModel, texts: Sequence[str], images: Sequence[Path | None]) -> list[tuple[str, ...]]:
    """The labels decided for each example, from files and texts: by the Predictor's workers, or in one batch of
    another runtime. Raises ImageError."""
    if isinstance(model, OwnModel):
        if len(texts) == 1:
            return [model.predictor.predict(texts[0], images[0]).labels]
        examples = [Example("", text, image, ()) for text, image in zip(texts, images, strict=True)]
        return list(map(model.labels.decode, model.predictor.decide(model.predictor.probabilities(examples))))
    pixels = [model.preprocessor.image(image) for image in images]
    batch = model.preprocessor.batch(model.preprocessor.rows(texts, pixels))
    decisions = model.thresholds.apply(to_probabilities(model.logits(batch), model.thresholds.groups))
    return [model.labels.decode(row) for row in decisions]


@contextmanager
def decoded_beforehand(model: OpenModel, rows: Sequence[tuple[str, Path | None]]) -> Iterator[None]:
    """The images and texts of these rows are decoded and tokenised now. What is asked for of them meanwhile takes
    the model's time, and what it takes to collate a batch and to decide: the same code for every runtime."""
    preprocessor = model.preprocessor
    images: dict[Any, Any] = {image: preprocessor.image(image) for _, image in rows}
    ids = {text: preprocessor.ids([text])[0] for text, _ in rows}
    preprocessor.image = lambda source, name=None: images[source]  # type: ignore[method-assign]
    preprocessor.ids = lambda texts: [ids[text] for text in texts]  # type: ignore[method-assign]
    try:
        yield
    finally:
        del preprocessor.image, preprocessor.ids


def probabilities(model: OpenModel, examples: Sequence[Example]) -> Probabilities:
    """float32 (N, L), in order: by the Predictor's workers, or in batches of another runtime. Raises ImageError and
    BundleError."""
    if isinstance(model, OwnModel):
        return model.predictor.probabilities(examples)
    pipeline = Pipeline(model.logits, model.preprocessor, model.labels.group_columns, PEER_BATCH)
    return predict_probabilities(pipeline, examples, WorkerPool(1))
