"""Answering with a Bundle: onnxruntime, tokenizers, Pillow and numpy, in one Predictor."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distill.core.cores import session_threads
from distill.core.errors import BundleError, ImageError
from distill.core.isa import detect_target, overflows
from distill.core.terminal import warn
from distill.data.dataset import Example
from distill.data.sources import Fault, InMemoryExample, Item
from distill.preprocess.inputs import EncodedExample, ModelInputs, Reader
from distill.runtime import hub
from distill.runtime.bundle import Bundle
from distill.runtime.rows import to_item, to_items
from distill.scoring.metrics import sigmoid

BATCH = 16
SLOWER = ["SkipLayerNormFusion"]  # its operator takes four times what a sum and a layer norm take
Logits = Callable[[ModelInputs], NDArray[np.float32]]  # float32 (B, L) of a batch
CHUNK = 256  # examples held at once when there are many: bounds the memory, and batches like lengths


@dataclass(frozen=True)
class Prediction:
    """The answer to one example: the labels decided for, and every label's probability in [0, 1]."""

    id: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]


def open_session(
    model: Path,
    threads: int,
    exact: bool = False,
    arena: bool = True,
    optimised: Path | None = None,
    profile: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A CPU session with this many threads; 0 lets onnxruntime choose, within a container's
    quota. Raises BundleError.

    `exact` makes an x86 without VNNI multiply u8 x u8, which is slower and cannot overflow. Without `arena`
    memory goes back to the system after each use. `optimised` is where to write the graph that is really run,
    `profile` the beginning of the name of a profile.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or session_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = arena
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    try:
        return onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
        )
    except Exception as error:
        reason = _first_line(error)
        raise BundleError(f"{model}: onnxruntime {onnxruntime.__version__} cannot open it: {reason}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _refuse_misfit(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    """Raise BundleError unless the model takes what `Batch.feed` gives and answers with logits (B, L)."""
    size = bundle.preprocess.image.size
    wanted: dict[str, tuple[str, list[int | None]]] = {
        "input_ids": ("tensor(int64)", [None, None]),
        "attention_mask": ("tensor(int64)", [None, None]),
        "pixels": ("tensor(uint8)", [None, size, size, 3]),
        "present": ("tensor(float)", [None, 2]),
        "logits": ("tensor(float)", [None, len(bundle.labels)]),
    }
    found = [*session.get_inputs(), *session.get_outputs()]
    if sorted(item.name for item in found) != sorted(wanted):
        names = ", ".join(item.name[:40] for item in found[:8])
        raise BundleError(
            f"{bundle.model}: takes and gives {names}, not {', '.join(wanted)}; run distill export again"
        )
    for item in found:
        kind, shape = wanted[item.name]
        fits = len(item.shape) == len(shape) and all(
            isinstance(is_, str | None) or is_ == want  # a symbol, or nothing, may be any size
            for is_, want in zip(item.shape, shape, strict=True)
        )
        if item.type != kind or not fits:
            given = f"{item.type} {item.shape}"[:120]
            raise BundleError(
                f"{bundle.model}: {item.name} is {given}, not {kind} {shape}; run distill export again"
            )


class Predictor:
    """A Bundle, opened and ready: `distill.load("runs/bundle")`.

    Calls from several threads are safe. After a fork the child opens a session of its own. A pickle holds the path
    of the Bundle, which has to lead to the same Bundle where it is unpickled.
    """

    def __init__(self, bundle: Bundle, threads: int = 0, arena: bool = True) -> None:
        self.bundle = bundle
        self._threads, self._arena = threads, arena
        try:
            self.reader = Reader(bundle.preprocess, bundle.tokenizer_json)
        except BundleError as error:
            raise BundleError(f"{bundle.folder}: {error}; run distill export again") from error
        here = detect_target()
        self._exact = bundle.precision == "int8" and overflows(bundle.target, here)
        if self._exact:
            warn(
                f"{bundle.folder} was quantised for {bundle.target} and this machine is {here}: its int8 products "
                f"would overflow here, so slower ones are used; run distill export --target {here}"
            )
        self._open()

    @classmethod
    def load(cls, folder: Path, threads: int = 0, arena: bool = True) -> Predictor:
        """Open and check a Bundle; 0 threads are as many as this process may use. Raises BundleError."""
        bundle = Bundle.open(folder)
        predictor = cls(bundle, threads, arena)
        bundle.refuse_if_changed()
        return predictor

    def _open(self) -> None:
        self._session = open_session(self.bundle.model, self._threads, self._exact, self._arena)
        _refuse_misfit(self._session, self.bundle)
        self._process = os.getpid()

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """onnxruntime's session. Raises BundleError when it has to be opened again and the model has changed."""
        if self._process != os.getpid():  # a fork copies no threads, and a call waits for them
            self.bundle.refuse_if_changed()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))  # and so would its end: it gets none
            self._open()
        return self._session

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.bundle.folder.absolute(), self.bundle.sha256, self._threads, self._arena)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in the order of every array's columns."""
        return self.bundle.labels.names

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """float32 (L,), each in (0, 1): a probability >= its label's threshold decides for the label."""
        return self.bundle.thresholds.array()

    def predict(self, text: Any = None, image: Any = None, id: Any = "") -> Prediction:
        """The answer to one post; its text or its image may be missing (None or NaN).

        `image` is a path, the bytes of an image file, a PIL image, or a numpy array uint8 (H, W), (H, W, 3) or
        (H, W, 4). A path or bytes are cheaper than an opened image: a JPEG is then decoded at a reduced scale.
        Raises DataError for a post with neither text nor image, and ImageError for an image that cannot be read.
        """
        ((item, probabilities),) = self._answer_items([to_item(text, image, id)])
        return self._prediction(item, probabilities)

    def predict_many(self, rows: Any, on_error: Literal["raise", "return"] = "raise") -> list[Prediction | Fault]:
        """The answers to many posts, in order: dicts with text, image and id, tuples (text, image), or a pandas
        DataFrame with such columns. Texts and images are as in `predict`.

        A row whose image cannot be read raises ImageError; with on_error="return", a Fault with its id and the
        reason stands in its place. Raises DataError for rows of another shape.
        """
        answers = list(self.stream(to_items(rows)))
        if on_error == "raise":
            for answer in answers:
                if isinstance(answer, Fault):
                    raise ImageError(f"{answer.id}: {answer.error}")
        return answers

    def predict_proba(self, rows: Any) -> NDArray[np.float32]:
        """Probabilities float32 (N, L) of rows as in `predict_many`, as scikit-learn's classifiers give them.

        Raises DataError, and ImageError for the first image that cannot be read.
        """
        arrays = []
        for item, probabilities in self._answer_items(to_items(rows)):
            if isinstance(item, Fault):
                raise ImageError(f"{item.id}: {item.error}")
            arrays.append(probabilities)
        return np.stack(arrays) if arrays else np.zeros((0, len(self.labels)), dtype=np.float32)

    def stream(self, items: Iterable[Item]) -> Iterator[Prediction | Fault]:
        """An answer or a Fault for every item, in order, in bounded memory."""
        for item, probabilities in self._answer_items(items):
            yield item if isinstance(item, Fault) else self._prediction(item, probabilities)

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        """float32 (B, L). Raises BundleError when the model fails or gives anything else."""
        try:
            logits = run(self.session, batch)
        except Exception as error:  # onnxruntime raises errors of its own for what a graph does
            raise BundleError(f"{self.bundle.model}: onnxruntime cannot run it: {_first_line(error)}") from error
        wanted = (len(batch.present), len(self.bundle.labels))
        if logits.shape != wanted or logits.dtype != np.float32 or not np.isfinite(logits).all():
            given = f"{logits.dtype} {logits.shape}" + (", not all finite" if logits.shape == wanted else "")
            raise BundleError(f"{self.bundle.model}: gives {given}, not float32 {wanted}; run distill export again")
        return logits

    def answers(self, ids: Sequence[str], rows: Sequence[EncodedExample]) -> list[Prediction]:
        """To examples that were read already, all in one batch. Raises BundleError."""
        probabilities = sigmoid(self.logits(self.reader.batch(rows)))
        return [self._answer(id_, row) for id_, row in zip(ids, probabilities, strict=True)]

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L), in order. Raises ImageError for the first image that cannot be read."""
        return probabilities(self.logits, self.reader, examples)

    def _answer_items(self, items: Iterable[Item]) -> Iterator[tuple[Item, NDArray[np.float32]]]:
        """Each item, or a Fault in its place, with its probabilities (L,), CHUNK of them at a time."""
        nothing = np.zeros(0, dtype=np.float32)
        iterator = iter(items)
        while chunk := list(itertools.islice(iterator, CHUNK)):
            answers: list[tuple[Item, NDArray[np.float32]]] = []
            texts, images, places = [], [], []
            for item in chunk:
                answers.append((item, nothing))
                if isinstance(item, Fault):
                    continue
                try:
                    images.append(
                        self.reader.image(item.image, item.name if isinstance(item, InMemoryExample) else None)
                    )
                except ImageError as error:
                    answers[-1] = (Fault(item.id, str(error)), nothing)
                else:
                    texts.append(item.text)
                    places.append(len(answers) - 1)
            if places:
                for place, row in zip(places, _chunk(self.logits, self.reader, texts, images), strict=True):
                    answers[place] = (answers[place][0], row)
            yield from answers

    def _prediction(self, item: Item, probabilities: NDArray[np.float32]) -> Prediction:
        if isinstance(item, Fault):
            raise ImageError(item.error)
        return self._answer(item.id, probabilities)

    def _answer(self, id_: str, probabilities: NDArray[np.float32]) -> Prediction:
        decisions = self.bundle.thresholds.apply(probabilities)
        table = {name: round(float(p), 4) for name, p in zip(self.labels, probabilities, strict=True)}
        return Prediction(id_, self.bundle.labels.decode(decisions), table)


def load(bundle: str | os.PathLike[str], threads: int = 0) -> Predictor:
    """Open a Bundle: a folder, an ONNX file exported with --embed, or OWNER/NAME[@REVISION] on the hub.

    0 threads are as many as this process may use. Raises BundleError.
    """
    return Predictor.load(hub.located(os.fspath(bundle)), threads)


def _reopen(folder: Path, sha256: str, threads: int, arena: bool) -> Predictor:
    """What a pickled Predictor becomes. Raises BundleError."""
    predictor = Predictor.load(folder, threads, arena)
    if predictor.bundle.sha256 != sha256:
        raise BundleError(f"{folder}: holds another Bundle than the one that was pickled; load it anew")
    return predictor


def probabilities(logits: Logits, reader: Reader, examples: Sequence[Example]) -> NDArray[np.float32]:
    """float32 (N, L) of any model, in order. Raises ImageError."""
    rows = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        images = [reader.image(example.image) for example in chunk]
        rows.append(_chunk(logits, reader, [example.text for example in chunk], images))
    return np.concatenate(rows)


def _chunk(
    logits: Logits,
    reader: Reader,
    texts: Sequence[str],
    images: Sequence[NDArray[np.uint8] | None],
) -> NDArray[np.float32]:
    rows = reader.rows(texts, images)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row].ids))  # like lengths together: little padding
    answers: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = reader.batch([rows[row] for row in chosen])
        answers.update(zip(chosen, sigmoid(logits(batch)), strict=True))
    return np.stack([answers[row] for row in range(len(rows))])


def run(session: onnxruntime.InferenceSession, batch: ModelInputs) -> NDArray[np.float32]:
    """Logits float32 (B, L) of one batch."""
    result: NDArray[np.float32] = session.run(["logits"], batch.feed())[0]
    return result
