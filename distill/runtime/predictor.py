"""The Predictor: loads a Bundle and predicts labels and probabilities for images with text."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distill.core.arguments import check_choice, check_integer, to_path
from distill.core.errors import ArgumentError, BundleError, DistillError, ImageError, first_line
from distill.core.machine.cores import MAX_BATCH, max_threads
from distill.core.machine.cpu import detect_target, overflows
from distill.core.machine.runtimes import PROVIDERS, RUNTIMES, Provider, Runtime
from distill.data.examples import Example
from distill.data.items import FailedRow, Item
from distill.preprocess.inputs import EncodedExample, ModelInputs
from distill.runtime import hub
from distill.runtime.bundle import Bundle
from distill.runtime.opened import (
    Features,
    OpenedModel,
    RunOptions,
    Towers,
    answer_cut,
    chosen_runtime,
    open_model,
)
from distill.runtime.pipeline import Pipeline, predict_probabilities
from distill.runtime.pool import WorkerPool
from distill.runtime.rows import to_item, to_items
from distill.scoring.probabilities import to_probabilities
from distill.scoring.selective import answer_confidence

DEFAULTS = RunOptions()


@dataclass(frozen=True)
class Prediction:
    """The labels predicted for one example, and every label's calibrated probability in [0, 1], rounded to 4
    digits. With `abstain`, `ask` says that none are predicted, as the model is not sure enough: ask a person."""

    id: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    ask: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON table, with `ask` where the model may abstain."""
        return {name: value for name, value in asdict(self).items() if name != "ask" or value is not None}


class Predictor:
    """A Bundle, opened and ready: `distill.load("runs/bundle")`.

    Calls from several threads are safe. After a fork the child opens its own model. A pickle holds the Bundle's
    path, which must lead to the same Bundle where it is unpickled.
    """

    def __init__(self, bundle: Bundle, threads: int = 0, options: RunOptions = DEFAULTS) -> None:
        """`threads` take the place of those in the options."""
        check_integer("threads", threads, 0, max_threads())
        self.bundle, self._groups = bundle, bundle.labels.group_columns
        self.options = replace(options, threads=threads)
        self._answer_cut = answer_cut(bundle, options)
        here = detect_target()
        self._exact = bundle.precision == "int8" and overflows(bundle.target, here)
        if self._exact:
            from distill.core.output.terminal import warn  # here: what it imports takes as long as a model to open

            warn(
                f"{bundle.folder} was quantised for {bundle.target} and this machine is {here}: its int8 products "
                f"would overflow here, so slower ones are used; run distill export --target {here}"
            )
        if bundle.modalities != "both":
            from distill.core.output.terminal import warn

            other, article = ("image", "a text") if bundle.modalities == "text" else ("text", "an image")
            warn(
                f"{bundle.folder} reads {bundle.modalities}s alone: {other}s are not looked at, and a post without "
                f"{article} gets the answer that suits most posts"
            )
        with ThreadPoolExecutor(1) as beside:  # the tokenizer takes as long as the model
            opening = beside.submit(self._open)
            try:
                self.preprocessor = bundle.preprocessor()
            except BundleError as error:
                raise BundleError(f"{bundle.folder}: {error}; run distill export again") from error
            opening.result()

    @classmethod
    def load(cls, folder: Path, threads: int = 0, options: RunOptions = DEFAULTS) -> Predictor:
        """Check a Bundle and open its model. 0 threads: a worker for each core that this process may use. Raises
        BundleError, and InstallError for a runtime or provider that is not installed."""
        bundle = Bundle.open(folder)
        predictor = cls(bundle, threads, options)
        bundle.refuse_if_changed()
        return predictor

    def _open(self) -> None:
        self._model = open_model(self.bundle, self.options, self._exact)
        self._towers = self._model if isinstance(self._model, Towers) else None
        self._pool = WorkerPool(self.options.workers)
        self._all_threads = threading.Lock()  # held by the one post that has them
        self._process = os.getpid()

    @property
    def runtime(self) -> Runtime:
        """What runs the model."""
        return chosen_runtime(self.bundle, self.options)

    @property
    def model(self) -> OpenedModel:
        """The open model of this process. Raises BundleError when the model changed since it was checked."""
        self._reopen_after_fork()
        return self._model

    @property
    def pool(self) -> WorkerPool:
        """The workers of this process. Raises as `model`."""
        self._reopen_after_fork()
        return self._pool

    def _reopen_after_fork(self) -> None:
        if self._process != os.getpid():  # a fork copies no threads, and a run would wait for the parent's
            self.bundle.refuse_if_changed()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._model))  # its end would wait too: it gets none
            self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.bundle.folder.absolute(), self.bundle.identity(), self.options)

    def __repr__(self) -> str:
        return f"Predictor({str(self.bundle.folder)!r}, {self.bundle.precision}, {len(self.labels)} labels)"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in the order of every array's columns."""
        return self.bundle.labels.names

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The labels of each group, by its name: of a group exactly one is predicted, the most probable, and their
        probabilities add up to 1."""
        return {group.name: group.labels for group in self.bundle.labels.groups}

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """Read-only float32 (L,), each in (0, 1): a label is predicted when its probability is at least its
        threshold. NaN for a label of a group; `decide` knows both."""
        thresholds = self.bundle.thresholds.array()
        thresholds.flags.writeable = False
        return thresholds

    def decide(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The labels that are predicted, bool (N, L), for probabilities (N, L) as `predict_proba` gives them."""
        return self.bundle.thresholds.apply(probabilities)

    def predict(self, text: Any = None, image: Any = None, id: Any = "") -> Prediction:
        """Predict for one post; its text or its image may be missing (None or NaN).

        `image` is a path, the bytes of an image file, a PIL image, or a numpy array uint8 (H, W), (H, W, 3) or
        (H, W, 4). A path or bytes are cheaper than an opened image: a JPEG is then decoded at a reduced scale.
        Raises DataError for a post with neither text nor image, ImageError for an image that cannot be read, and
        BundleError when the tokenizer or the model fails.
        """
        item = to_item(text, image, id)
        if isinstance(item, FailedRow):
            raise ImageError(item.error)
        (row,) = self.preprocessor.rows([item.text], [None])
        if item.image is None:
            return self.predict_row(item.id, row, wide=True)
        decode = partial(self.preprocessor.image, item.image, getattr(item, "name", None))
        if self.pool.workers == 1 or not row.has_text:
            return self.predict_row(item.id, replace(row, image=decode()))
        text_features = self.pool.beside(partial(self.text_features, row, wide=True))
        return self.predict_row(item.id, replace(row, image=decode()), text_features)

    def predict_many(
        self, rows: Any, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Prediction | FailedRow]:
        """Predict for many posts, in order: dicts with text, image and id, tuples (text, image), or a pandas
        DataFrame with such columns. Texts and images are as in `predict`.

        A row whose image cannot be read raises ImageError, and one with another value that is not understood
        DataError; with on_error="return", a FailedRow with its id and the reason stands in its place. Raises
        DataError for rows of another shape, and BundleError as `predict`.
        """
        check_choice("on_error", on_error, ("raise", "return"))
        predictions = list(self.stream(to_items(rows, on_error)))
        if on_error == "raise":
            for prediction in predictions:
                if isinstance(prediction, FailedRow):
                    raise ImageError(f"{prediction.id}: {prediction.error}")
        return predictions

    def predict_proba(self, rows: Any) -> NDArray[np.float32]:
        """Probabilities float32 (N, L) of rows as in `predict_many`, as scikit-learn's classifiers give them.

        Raises DataError, ImageError for the first image that cannot be read, and BundleError as `predict`.
        """
        arrays = []
        for item, probabilities in self._pipeline().run(to_items(rows), self.pool):
            if isinstance(item, FailedRow):
                raise ImageError(f"{item.id}: {item.error}")
            arrays.append(probabilities)
        return np.stack(arrays) if arrays else np.zeros((0, len(self.labels)), dtype=np.float32)

    def stream(self, items: Iterable[Item]) -> Iterator[Prediction | FailedRow]:
        """Yield a Prediction or a FailedRow for every item, in order, in bounded memory. Raises BundleError as
        `predict`."""
        for item, probabilities in self._pipeline().run(items, self.pool):
            yield item if isinstance(item, FailedRow) else self._prediction(item, probabilities)

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L). Raises BundleError when the model fails or returns anything else."""
        return self._check(batch, lambda: self.model.run(batch))

    def text_features(self, row: EncodedExample, wide: bool = False) -> Features | None:
        """What the text tower makes of a row whose image is still to come, for `predict_row`; None where the model
        has no text tower that runs by itself. `wide`: on all threads but the one that the image takes, for a post
        that is alone; of two, that is one. Raises BundleError."""
        self._reopen_after_fork()
        if self._towers is None:
            return None
        batch = self.preprocessor.batch([row])
        several = self.pool.workers > 2 or not self.preprocessor.reads_images
        batch = replace(batch, present=np.ones_like(batch.present))
        return self._text_features(self._towers, batch, wide and several)

    def _text_features(self, towers: Towers, batch: ModelInputs, wide: bool) -> Features:
        held = wide and self._all_threads.acquire(blocking=False)  # who comes second has one thread
        try:
            with self._translate():
                if held:
                    towers.widen(self.bundle.refuse_if_changed)
                return towers.text_features(batch, held)
        finally:
            if held:
                self._all_threads.release()

    def predict_row(
        self,
        id_: str,
        row: EncodedExample,
        text_features: Callable[[], Features | None] | None = None,
        wide: bool = False,
    ) -> Prediction:
        """Predict for a row that is preprocessed already. `text_features`, which are asked for after the image
        tower has run, may be running beside it; `wide` is for one that is alone and has no image. Raises
        BundleError."""
        self._reopen_after_fork()
        batch, towers, ask = self.preprocessor.batch([row]), self._towers, text_features
        if wide and towers is not None and ask is None and self.pool.workers > 1:
            ask = partial(self._text_features, towers, batch, wide)
        if towers is None or ask is None:
            logits = self.logits(batch)
        else:
            logits = self._check(batch, partial(_fuse, towers, batch, ask))
        return self._decide(id_, to_probabilities(logits, self._groups)[0])

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L), in order. Raises ImageError for the first image that cannot be read, and BundleError as
        `predict`."""
        if not examples:
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return predict_probabilities(self._pipeline(), examples, self.pool)

    def _pipeline(self) -> Pipeline:
        return Pipeline(self.logits, self.preprocessor, self._groups, self.options.batch_size)

    def _check(self, batch: ModelInputs, run: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        with self._translate():
            logits = run()
        shape = (len(batch.present), len(self.bundle.labels))
        if logits.shape != shape or logits.dtype != np.float32 or not np.isfinite(logits).all():
            actual = f"{logits.dtype} {logits.shape}" + (", not all finite" if logits.shape == shape else "")
            raise BundleError(f"{self.bundle.model}: gives {actual}, not float32 {shape}; run distill export again")
        return logits

    @contextmanager
    def _translate(self) -> Iterator[None]:
        try:
            yield
        except DistillError:
            raise
        except Exception as error:  # each runtime raises errors of its own for what a graph does
            title = self._model.title.partition(" ")[0]
            raise BundleError(f"{self.bundle.model}: {title} cannot run it: {first_line(error)}") from error

    def _prediction(self, item: Item, probabilities: NDArray[np.float32]) -> Prediction:
        if isinstance(item, FailedRow):
            raise ImageError(item.error)
        return self._decide(item.id, probabilities)

    def _decide(self, id_: str, probabilities: NDArray[np.float32]) -> Prediction:
        decisions = self.decide(probabilities)
        shown = self.bundle.thresholds.raw(probabilities) if self.options.raw else probabilities
        by_label = {name: round(float(p), 4) for name, p in zip(self.labels, shown, strict=True)}
        ask = None
        if self._answer_cut is not None:
            ask = bool(answer_confidence(probabilities[None], decisions[None])[0] < self._answer_cut)
        return Prediction(id_, () if ask else self.bundle.labels.decode(decisions), by_label, ask)


def load(
    bundle: str | os.PathLike[str],
    threads: int = 0,
    *,
    batch: int = 0,
    provider: Provider = "cpu",
    runtime: Runtime | None = None,
    raw: bool = False,
    abstain: float | None = None,
) -> Predictor:
    """Open a Bundle: a folder, an ONNX file exported with --embed, or OWNER/NAME[@REVISION] on the hub.

    So many `threads` run posts side by side; 0: one for each core that this process may use. `batch` posts run
    together in each, by default one, on a GPU 16; answers in a batch may depend on each other. `provider` is one of
    onnxruntime's execution providers: cpu, openvino, cuda, coreml or xnnpack. `runtime` "openvino" opens a Bundle
    for onnxruntime in OpenVINO; others are opened by the runtime that their manifest names. With `raw`, a
    Prediction shows the probabilities from before calibration; those of `predict_proba`, which `decide` takes, are
    calibrated. `abstain` is a precision that answers are to hold, 0.8, 0.9 or 0.95: where the model is not sure
    enough for it, a Prediction has `ask` and no labels. Raises ArgumentError, BundleError, also where the Bundle
    holds no such precision, and InstallError for a provider or runtime that is not installed.
    """
    name = str(to_path("bundle", bundle))
    check_integer("threads", threads, 0, max_threads())
    check_integer("batch", batch, 0, MAX_BATCH)
    check_choice("provider", provider, PROVIDERS)
    if runtime is not None:
        check_choice("runtime", runtime, RUNTIMES)
    if abstain is not None and not isinstance(abstain, float):
        raise ArgumentError(f"abstain must be a precision such as 0.9; got {abstain!r}")
    options = RunOptions(provider=provider, runtime=runtime, batch=batch, raw=raw, abstain=abstain)
    # Absolute, so that a working directory that changes later does not matter.
    return Predictor.load(hub.resolve(name).absolute(), threads, options)


def _fuse(towers: Towers, batch: ModelInputs, text_features: Callable[[], Features | None]) -> NDArray[np.float32]:
    """Logits of a batch whose text features are waited for once the image tower has run."""
    image = towers.image_features(batch)
    text = text_features()
    return towers.run(batch) if text is None else towers.fuse(batch, image | text)


def _reopen(folder: Path, identity: str, options: RunOptions) -> Predictor:
    """Unpickle a Predictor. Raises BundleError."""
    predictor = Predictor.load(folder, options.threads, options)
    if predictor.bundle.identity() != identity:
        raise BundleError(f"{folder}: holds another Bundle than the one that was pickled; load it anew")
    return predictor
