"""Golden answers: inputs and logits that are recorded at export and replayed on the device by `distill verify`.

The inputs are made here and taken from nobody's data: texts in several scripts, long and empty, and drawn images
as JPEG and PNG files, so that decoding, resizing and tokenising are replayed along with the graph.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image
from rich.table import Table

from distill.core.errors import BundleError, ImageError
from distill.core.machine.cpu import cpu_name, detect_target, int8_instructions
from distill.core.output.terminal import note, output, warn
from distill.preprocess.images import image_to_uint8
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.golden_answers import MAX_TOLERANCE, MIN_TOLERANCE, NOT_READABLE, Case, GoldenAnswers
from distill.runtime.pipeline import LogitsFunction
from distill.runtime.predictor import Predictor
from distill.scoring.probabilities import to_probabilities

MAX_IMAGE_PIXELS = 1_000_000  # of one image; those that are recorded are much smaller
FORMATS = (b"\xff\xd8\xff", b"\x89PNG")
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
WITHOUT_IMAGE = (2, 6)  # places in TEXTS
PNG_CASES = (1, 5)  # small PNG files; the others are JPEG


@dataclass(frozen=True)
class ReplayReport:
    """How a device's logits compare with the golden ones.

    Of `cases`, `other_tokens` were tokenised and `other_pixels` decoded differently. `logit_rms` is the root mean
    square difference of logits, of which `tolerance` is allowed; of `decisions` (case, label) pairs, `flipped`
    differ. `exported_on` and `here` describe the two machines, as `describe_machine` does.
    """

    cases: int
    other_tokens: int
    other_pixels: int
    logit_rms: float
    tolerance: float
    flipped: int
    decisions: int
    target: str
    exported_on: dict[str, str]
    here: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether this machine may be trusted with this Bundle."""
        return self.other_tokens == 0 and self.logit_rms <= self.tolerance


def record_golden(
    preprocessor: Preprocessor, logits_of: LogitsFunction, parent: LogitsFunction, title: str
) -> dict[str, Any]:
    """The content of golden.json: cases, and the logits of a model on this machine. `title` is the model's runtime.

    Another machine's logits may differ by half of what these differ from the fp32 `parent`'s: int8 kernels round in
    other places, but sums that overflow move logits by more than quantising did.
    """
    cases = golden_cases()
    batches = golden_batches(preprocessor, cases)
    logits = _logits(logits_of, batches)
    quantising = _rms(logits - _logits(parent, batches))
    return {
        "cases": [asdict(case) for case in cases],
        "ids": [batch.input_ids[0].tolist() for batch in batches],
        "pixels": [_digest(batch) for batch in batches],
        "logits": [[round(float(v), 7) for v in row] for row in logits],
        "tolerance": min(MAX_TOLERANCE, max(MIN_TOLERANCE, quantising / 2)),
        "exported_on": describe_machine(title),
    }


def replay_golden(predictor: Predictor) -> ReplayReport:
    """Run the golden inputs on this machine and compare. Raises BundleError when golden.json is damaged."""
    bundle = predictor.bundle
    try:
        golden = GoldenAnswers.from_json(bundle.golden, len(bundle.labels))
        batches = golden_batches(predictor.preprocessor, golden.cases)
    except (ValueError, ImageError) as error:
        raise BundleError(f"{bundle.folder}: {NOT_READABLE}: {error}; run distill export again") from error
    except BundleError as error:
        raise BundleError(f"{bundle.folder}: {error}; run distill export again") from error
    expected = golden.array()
    ids = [tuple(batch.input_ids[0].tolist()) != row for batch, row in zip(batches, golden.ids, strict=True)]
    pixels = [_digest(batch) != digest for batch, digest in zip(batches, golden.pixels, strict=True)]
    logits = _logits(predictor.logits, batches)
    groups = bundle.labels.group_columns
    before, after = (bundle.thresholds.apply(to_probabilities(values, groups)) for values in (expected, logits))
    return ReplayReport(
        cases=len(golden.cases),
        other_tokens=sum(ids),
        other_pixels=sum(pixels),
        logit_rms=_rms(logits - expected),
        tolerance=golden.tolerance,
        flipped=int((before != after).sum()),
        decisions=before.size,
        target=bundle.target,
        exported_on=golden.exported_on,
        here=describe_machine(predictor.model.title),
    )


def print_report(report: ReplayReport, name: str) -> None:
    """Print both machines, how the logits differ, and what to do about it."""
    table = Table(title=f"{name}: golden answers replayed", title_justify="left")
    for heading in ("", "where it was exported", "here"):
        table.add_column(heading)
    for key, here in report.here.items():
        table.add_row(key, report.exported_on.get(key, "?"), here)
    output.print(table)
    note(
        f"{report.cases} cases: {report.other_tokens} with other tokens, {report.other_pixels} with other pixels; "
        f"logits differ by {report.logit_rms:.2g} (root mean square), {report.tolerance:.2g} is allowed; "
        f"{report.flipped} of {report.decisions} decisions flip"
    )
    if report.other_tokens:
        warn("texts become other tokens here: install the version of tokenizers that distill asks for")
    if report.other_pixels:
        warn("images decode to slightly other pixels here, with another version of Pillow or its libraries")
    if report.logit_rms > report.tolerance:
        warn("the logits are not those of the machine that made this Bundle: export it with --target for this one")
    note("verified" if report.passed else "NOT verified: do not use this Bundle here")


def golden_cases() -> tuple[Case, ...]:
    """The inputs that are recorded."""
    return tuple(
        Case(text, None if image is None else base64.b64encode(image).decode("ascii"))
        for text, image in zip(TEXTS, _draw_images(), strict=True)
    )


def describe_machine(title: str) -> dict[str, str]:
    """The processor and the library versions that logits depend on; `title` names the runtime and its version."""
    runtime, _, version = title.partition(" ")
    return {
        "cpu": cpu_name(),
        "target": detect_target(),
        "int8 instructions": " ".join(int8_instructions()) or "none known",
        runtime: version,
        "pillow": PIL.__version__,
    }


def golden_batches(preprocessor: Preprocessor, cases: Sequence[Case]) -> list[ModelInputs]:
    """Each case alone, as a device is asked. Raises ValueError for an image that is not base64, and ImageError."""
    return [
        preprocessor.batch(preprocessor.rows([case.text], [_decode(case.image_bytes(), preprocessor)]))
        for case in cases
    ]


def _decode(content: bytes | None, preprocessor: Preprocessor) -> NDArray[np.uint8] | None:
    """One image of a Bundle that may be a stranger's. Raises ImageError."""
    if content is None:
        return None
    if not content.startswith(FORMATS):
        raise ImageError("one of their images is neither JPEG nor PNG")
    return image_to_uint8(content, preprocessor.spec.image, "one of their images", MAX_IMAGE_PIXELS)


def _logits(function: LogitsFunction, batches: Sequence[ModelInputs]) -> NDArray[np.float32]:
    return np.concatenate([function(batch) for batch in batches])


def _rms(difference: NDArray[np.float32]) -> float:
    """The root mean square; the largest float, which JSON can hold, when anything in it is not finite."""
    return float(np.sqrt(np.square(difference).mean())) if np.isfinite(difference).all() else sys.float_info.max


def _digest(batch: ModelInputs) -> str:
    return hashlib.sha256(batch.pixels.tobytes()).hexdigest()[:16]


def _draw_images() -> list[bytes | None]:
    """An image file for each text, drawn with a fixed seed; None where the case has no image."""
    generator = np.random.default_rng(13)
    images: list[bytes | None] = []
    for place in range(len(TEXTS)):
        if place in WITHOUT_IMAGE:
            images.append(None)
            continue
        y, x = np.mgrid[0:180, 0:240] / 240
        waves = [np.sin(generator.uniform(3, 40) * x + generator.uniform(3, 40) * y) for _ in range(3)]
        array = (127.5 * (np.stack(waves, axis=-1) + 1)).astype(np.uint8)
        left, top = generator.integers(0, 120, 2)
        array[top : top + 60, left : left + 90] = generator.integers(0, 256, 3)
        image, buffer = Image.fromarray(array), io.BytesIO()
        if place in PNG_CASES:
            image.resize((120, 90)).save(buffer, format="PNG")
        else:
            image.resize((240, 180)).save(buffer, format="JPEG", quality=85)
        images.append(buffer.getvalue())
    return images
