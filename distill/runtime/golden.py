"""Golden answers: recorded at export, shipped with a Bundle, and replayed on the device.

The questions are made here and not taken from anybody's data: texts in several scripts, long and empty, and drawn
images, as JPEG and PNG files, so that decoding, resizing and tokenising are replayed along with the graph.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import PIL
from numpy.typing import NDArray
from PIL import Image
from rich.markup import escape
from rich.table import Table

from distill.core.errors import BundleError, ImageError
from distill.core.isa import cpu_name, detect_target, int8_instructions
from distill.core.terminal import note, output, warn
from distill.preprocess.inputs import ModelInputs, Reader
from distill.runtime.bundle import Bundle
from distill.runtime.predictor import Logits, Predictor, run
from distill.scoring.metrics import sigmoid

MAX_CASES = 64
LEAST_TOLERANCE = 1e-4  # of a logit: float sums in another order
TEXTS = (
    "WHO DID THIS",
    "They said it could not be done.\nThen somebody did it in an afternoon.",
    "ok",
    "",
    "¿Qué? 政治 🔥 العربية",
    "Every single time. " * 30,
    "vote! Vote!! VOTE!!!",
    "Nothing to see here",
)


@dataclass(frozen=True)
class Replay:
    """What a device answered, against the Bundle's own answers.

    Of `cases`, `other_tokens` were tokenised and `other_pixels` decoded to something else. `drift` is the
    root mean square difference of logits, of which `tolerance` is allowed; `flipped` of `decisions` (case, label)
    pairs were decided otherwise.
    """

    cases: int
    other_tokens: int
    other_pixels: int
    drift: float
    tolerance: float
    flipped: int
    decisions: int
    target: str
    made_on: dict[str, str]
    here: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether this machine may be trusted with this Bundle."""
        return self.other_tokens == 0 and self.drift <= self.tolerance


def record(
    reader: Reader, session: onnxruntime.InferenceSession, parent: onnxruntime.InferenceSession
) -> dict[str, Any]:
    """The content of golden.json: cases, and how `session` answers them on this machine.

    Another machine's logits may differ by half of what these differ from the fp32 `parent`'s: int8 kernels round in
    other places, but sums that overflow move answers by more than quantising did.
    """
    cases = [
        {"text": text, "image": None if image is None else base64.b64encode(image).decode("ascii")}
        for text, image in zip(TEXTS, _images(), strict=True)
    ]
    batches = _batches(reader, cases)
    logits = _answers(partial(run, session), batches)
    quantising = _rms(logits - _answers(partial(run, parent), batches))
    return {
        "cases": cases,
        "ids": [batch.input_ids[0].tolist() for batch in batches],
        "pixels": [_digest(batch) for batch in batches],
        "logits": [[round(float(v), 7) for v in row] for row in logits],
        "tolerance": max(LEAST_TOLERANCE, quantising / 2),
        "made_on": machine(),
    }


def replay(predictor: Predictor) -> Replay:
    """Ask the same again here. Raises BundleError when golden.json is not of the form that `record` writes."""
    bundle: Bundle = predictor.bundle
    golden = bundle.golden
    try:
        cases = golden["cases"]
        expected = np.asarray(golden["logits"], dtype=np.float32).reshape(len(cases), len(bundle.labels))
        batches = _batches(predictor.reader, cases)
        ids = [batch.input_ids[0].tolist() != known for batch, known in zip(batches, golden["ids"], strict=True)]
        pixels = [_digest(batch) != known for batch, known in zip(batches, golden["pixels"], strict=True)]
        tolerance = float(golden["tolerance"])
        made_on = {key: _plain(str(value)) for key, value in golden["made_on"].items()}
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, ImageError) as error:
        raise BundleError(f"{bundle.folder}: its golden answers cannot be read ({error}); export again") from error
    found = _answers(predictor.logits, batches)
    before, after = (bundle.thresholds.apply(sigmoid(logits)) for logits in (expected, found))
    return Replay(
        cases=len(cases),
        other_tokens=sum(ids),
        other_pixels=sum(pixels),
        drift=_rms(found - expected),
        tolerance=tolerance,
        flipped=int((before != after).sum()),
        decisions=before.size,
        target=bundle.target,
        made_on=made_on,
        here=machine(),
    )


def show(answer: Replay, name: str) -> bool:
    """Print where and how the answers differ; whether they may be trusted."""
    table = Table(title=escape(f"{name}: its own answers, given again"), title_justify="left")
    for heading in ("", "where it was made", "here"):
        table.add_column(heading)
    for key, here in answer.here.items():
        table.add_row(key, escape(answer.made_on.get(key, "?")), escape(here))
    output.print(table)
    note(
        f"{answer.cases} cases: {answer.other_tokens} with other tokens, {answer.other_pixels} with other pixels; "
        f"logits differ by {answer.drift:.2g} (root mean square), {answer.tolerance:.2g} is allowed; "
        f"{answer.flipped} of {answer.decisions} decisions flip"
    )
    if answer.other_tokens:
        warn("texts become other tokens here: install the version of tokenizers that distill asks for")
    if answer.other_pixels:
        warn("images are decoded to slightly other pixels here, by another version of Pillow or its libraries")
    if answer.drift > answer.tolerance:
        warn("the answers are not those of the machine that made this Bundle: export it with --target for this one")
    note("verified" if answer.passed else "NOT verified: do not use this Bundle here")
    return answer.passed


def machine() -> dict[str, str]:
    """What answers depend on here."""
    return {
        "cpu": cpu_name(),
        "target": detect_target(),
        "int8 instructions": " ".join(int8_instructions()) or "none known",
        "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__,
    }


def _batches(reader: Reader, cases: Sequence[dict[str, Any]]) -> list[ModelInputs]:
    """Each case alone, as a device is asked. Raises ValueError for more of them than any Bundle has."""
    if len(cases) > MAX_CASES:
        raise ValueError(f"{len(cases):,} cases, over the limit of {MAX_CASES}")
    batches = []
    for case in cases:
        image = None if case["image"] is None else base64.b64decode(case["image"], validate=True)
        batches.append(reader.batch(reader.rows([case["text"]], [reader.image(image)])))
    return batches


def _answers(logits: Logits, batches: Sequence[ModelInputs]) -> NDArray[np.float32]:
    return np.concatenate([logits(batch) for batch in batches])


def _rms(difference: NDArray[np.float32]) -> float:
    """The largest float, which JSON can hold, when anything in it is not finite."""
    return float(np.sqrt(np.square(difference).mean())) if np.isfinite(difference).all() else sys.float_info.max


def _plain(text: str) -> str:
    """Without what would command a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def _digest(batch: ModelInputs) -> str:
    return hashlib.sha256(batch.pixels.tobytes()).hexdigest()[:16]


def _images() -> list[bytes | None]:
    """As many as there are texts: drawn with a fixed seed, two missing, two with sharp edges as PNG."""
    generator = np.random.default_rng(13)
    made: list[bytes | None] = []
    for index in range(len(TEXTS)):
        if index in (2, 6):
            made.append(None)
            continue
        y, x = np.mgrid[0:180, 0:240] / 240
        waves = [np.sin(generator.uniform(3, 40) * x + generator.uniform(3, 40) * y) for _ in range(3)]
        array = (127.5 * (np.stack(waves, axis=-1) + 1)).astype(np.uint8)
        left, top = generator.integers(0, 120, 2)
        array[top : top + 60, left : left + 90] = generator.integers(0, 256, 3)
        sharp = index in (1, 5)
        buffer = io.BytesIO()
        Image.fromarray(array).resize((120, 90) if sharp else (240, 180)).save(
            buffer, format="PNG" if sharp else "JPEG", **({} if sharp else {"quality": 85})
        )
        made.append(buffer.getvalue())
    return made
