"""Runs the text tower, the image tower and the head of an ONNX file as sessions of their own.

What a tower makes of a missing text or image is the same for every post: it is computed once, and a post without
one half costs the other half alone. Answers are those of the whole graph, to the rounding of what onnxruntime would
fuse across the cuts.

Workers share sessions of one thread each. A post that is alone may have its text tower run on several threads, by a
second session that opens when it is first asked for and shares the table of word vectors with the first; so may a
post of a model that reads texts alone. It leaves one to the image, as a thread too many holds up all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distill.core.errors import BundleError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.cut import LOGITS, CutGraph, Wire
from distill.runtime.onnx.session import Part, open_session
from distill.runtime.opened import Features

MOST_THREADS = 8  # of one text; beyond, a text of some dozens of tokens gains nothing


@dataclass(frozen=True)
class How:
    """How the sessions of a model's parts are opened: see `open_session`; a post alone has `threads` of them."""

    folder: Path
    threads: int
    exact: bool
    arena: bool


class _Session:
    """A session, and what it takes and gives."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.inputs, self.outputs = session.get_inputs(), session.get_outputs()
        self._names = [value.name for value in self.inputs], [value.name for value in self.outputs]

    def run(self, feed: dict[str, NDArray[Any]]) -> Features:
        inputs, outputs = self._names
        return dict(zip(outputs, self._session.run(outputs, {name: feed[name] for name in inputs}), strict=True))


class _TextSession:
    """A part of a model that reads texts, opened with one thread, and with `threads` once it is asked for."""

    def __init__(self, part: Part, how: How, threads: int) -> None:
        self._part, self._how, self._threads = part, how, min(threads, MOST_THREADS)
        self.narrow = _opened(part, how)
        self.wide: _Session | None = None

    def widen(self, check: Callable[[], None]) -> None:
        """As `Towers.widen`."""
        if self._threads == 1 or self.wide is not None:
            return
        try:
            wide = _opened(self._part, self._how, self._threads)
            check()
        except BundleError:
            wide = self.narrow
        self.wide = wide

    def run(self, batch: ModelInputs, wide: bool = False) -> Features:
        return ((self.wide if wide else None) or self.narrow).run(batch.feed())


def _opened(part: Part, how: How, threads: int = 1) -> _Session:
    return _Session(open_session(part, threads, how.exact, how.arena))


def _tables(cut: CutGraph) -> dict[str, onnxruntime.OrtValue]:
    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(table) for name, table in cut.tables.items()}


class TextAlone:
    """A model that reads texts alone, as `distill.runtime.opened.Towers`: its features are its logits."""

    def __init__(self, whole: bytes, cut: CutGraph, how: How) -> None:
        """Raises BundleError for a model that cannot be opened, or gives more than logits."""
        self.title = f"onnxruntime {onnxruntime.__version__}"
        self._text = _TextSession(Part(whole, how.folder, _tables(cut)), how, how.threads)
        self.widen = self._text.widen
        if sorted(tensor.name for tensor in self.tensors()) != cut.tensors:
            raise BundleError("the model gives what its text tower does not")

    def tensors(self) -> Sequence[Any]:
        """The inputs, then the outputs."""
        return [*self._text.narrow.inputs, *self._text.narrow.outputs]

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L)."""
        return self.fuse(batch, self.text_features(batch))

    def text_features(self, batch: ModelInputs, wide: bool = False) -> Features:
        """The logits, as features."""
        return self._text.run(batch, wide)

    def image_features(self, batch: ModelInputs) -> Features:
        """None."""
        return {}

    def fuse(self, batch: ModelInputs, features: Features) -> NDArray[np.float32]:
        """Logits float32 (B, L)."""
        logits: NDArray[np.float32] = features[LOGITS]
        return logits


class TowerSessions:
    """As `distill.runtime.opened.Towers`."""

    def __init__(self, text: bytes, image: bytes, cut: CutGraph, how: How) -> None:
        """Raises BundleError for parts that cannot be opened or do not fit together."""
        self.title = f"onnxruntime {onnxruntime.__version__}"
        tables = _tables(cut)
        beside_an_image = how.threads - 1 if how.threads > 2 else how.threads
        self._text = _TextSession(Part(text, how.folder, tables), how, beside_an_image)
        self.widen = self._text.widen
        self._image = _opened(Part(image, how.folder, tables), how)
        wires = [
            Wire(out.name, out.type, out.shape) for part in (self._text.narrow, self._image) for out in part.outputs
        ]
        head = cut.head(wires)
        if head is None:
            raise BundleError("the head of the model takes more than its towers give")
        self._head = _opened(Part(head, how.folder, tables), how)
        self._wires = {wire.name for wire in wires}
        if sorted(tensor.name for tensor in self.tensors()) != cut.tensors:
            raise BundleError("the model takes or gives what none of its parts does")
        self._no_text: tuple[bytes, Features] | None = None
        self._no_image: Features | None = None

    def tensors(self) -> Sequence[Any]:
        """The inputs, then the outputs, as of the whole graph."""
        parts = (self._text.narrow, self._image, self._head)
        inputs = {value.name: value for part in parts for value in part.inputs}
        return [*(inputs[name] for name in inputs if name not in self._wires), *self._head.outputs]

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L)."""
        return self.fuse(batch, self.text_features(batch) | self.image_features(batch))

    def text_features(self, batch: ModelInputs, wide: bool = False) -> Features:
        """What the text tower makes of ids, mask and present; pixels are not looked at. `wide`, it has all threads
        that `widen` gave it."""
        if len(batch.present) > 1 or batch.present[0, 0]:
            return self._text.run(batch, wide)
        key = batch.input_ids.tobytes() + batch.attention_mask.tobytes() + batch.present.tobytes()
        if self._no_text is None or self._no_text[0] != key:
            self._no_text = key, self._text.run(batch)
        return self._no_text[1]

    def image_features(self, batch: ModelInputs) -> Features:
        """What the image tower makes of the pixels."""
        if len(batch.present) > 1 or batch.present[0, 1]:
            return self._image.run(batch.feed())
        if self._no_image is None:
            self._no_image = self._image.run(batch.feed())
        return self._no_image

    def fuse(self, batch: ModelInputs, features: Features) -> NDArray[np.float32]:
        """Logits float32 (B, L) from the features of both towers."""
        logits: NDArray[np.float32] = self._head.run(batch.feed() | features)[LOGITS]
        return logits


def open_towers(
    model: Path, threads: int = 1, exact: bool = False, arena: bool = True
) -> TowerSessions | TextAlone | None:
    """The parts of a file that was checked; None for a graph that has neither two towers nor texts alone, or cannot
    be cut. A post alone may have `threads`."""
    try:
        file = model.resolve()  # onnxruntime reads weights from no other folder than the file's own
        how, size = How(file.parent, threads, exact, arena), file.stat().st_size
        with file.open("rb") as handle:
            cut = CutGraph(handle, size, file.name)
            if (whole := cut.text_alone()) is not None:
                return TextAlone(whole, cut, how)
            text, image = cut.tower("text"), cut.tower("image")
            return None if text is None or image is None else TowerSessions(text, image, cut, how)
    except (OSError, ValueError, BundleError):  # the whole is opened instead, and says what is wrong with it
        return None
