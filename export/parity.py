"""Does an exported graph answer as torch does, and how far are quantised outputs from fp32's?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import ParityError
from distill.data.dataset import Example
from distill.model.classifier import Classifier
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.golden import golden_batches, golden_cases
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.opened import OpenedModel
from distill.scoring.metrics import Probabilities
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import Thresholds
from export.drift import describe_drift

ACCEPTABLE = 0.1  # difference of a logit that may be rounding in an ill-conditioned layer
TEXTS = ("", "ok", "¿Qué? 政治 🔥 العربية", "word " * 200)


@dataclass(frozen=True)
class Parity:
    """torch against fp32 ONNX over all `cases`: the largest differences, and how many of the `decisions` (case,
    label) differ; those can only lie within tolerance of their threshold, or of another label of their group."""

    cases: int
    max_logit_difference: float
    max_probability_difference: float
    decisions: int
    flipped: int


@dataclass(frozen=True)
class QuantizationEffect:
    """A quantised file's outputs against its fp32 parent's on the same examples.

    Probabilities are compared as they are. Of `decisions` (example, label) pairs, `flipped` changed with the
    parent's thresholds on both, which is quantising alone, and `flipped_refitted` with each file's own.
    """

    max_probability_difference: float
    mean_probability_difference: float
    flipped: int
    flipped_refitted: int
    decisions: int


class _Case(NamedTuple):
    name: str
    batch: ModelInputs


def check_parity(
    classifier: Classifier,
    model: Path,
    examples: Sequence[Example],
    tolerance: float,
    thresholds: Thresholds,
    converted: OpenedModel | None = None,
) -> Parity:
    """Compare logits, probabilities and decisions of the ONNX file, or of what was `converted` from it for another
    runtime, with torch's: on the golden answers' inputs, on batch 1 and N, short, long, empty and non-Latin texts,
    padded and not, real, blank and missing images. Raises ParityError when any logit differs by more than
    `tolerance`, or is not finite; probabilities differ by a quarter of that at most, as the sigmoid's slope is at
    most 1/4, and in a group of labels by half of it."""
    run = converted.run if converted else partial(run_session, open_session(model, 0))
    cases = _cases(Preprocessor(classifier.spec, classifier.tokenizer_json), examples)
    logit_difference = probability_difference = 0.0
    flipped = decisions = 0
    for name, batch in cases:
        expected, actual = classifier.batch_logits(batch), run(batch)
        difference = float(np.abs(expected - actual).max())
        if not difference <= tolerance:  # also true of nan
            name_of_graph = converted.title if converted else "ONNX"
            drift = "" if converted else describe_drift(classifier, model, batch)
            raise ParityError(
                f"the {name_of_graph} graph differs from torch by {difference:.2g} in a logit ({name}), more than "
                f"export.parity_tolerance={tolerance:g}{drift}; nothing was "
                f"written. {_next_step(difference)}"
            )
        p, q = (to_probabilities(logits, thresholds.groups) for logits in (expected, actual))
        logit_difference = max(logit_difference, difference)
        probability_difference = max(probability_difference, float(np.abs(p - q).max()))
        flipped += int((thresholds.apply(p) != thresholds.apply(q)).sum())
        decisions += expected.size
    return Parity(len(cases), logit_difference, probability_difference, decisions, flipped)


def _next_step(difference: float) -> str:
    if not difference < ACCEPTABLE:  # also true of nan
        return "That is no rounding but a fault of the export: choose another encoder, or report this one"
    enough = 10.0 ** math.ceil(math.log10(difference))
    return (
        f"To accept it, as decisions can differ only that near to a threshold: --set "
        f"export.parity_tolerance={enough:g}; else train again, with that layer's tower frozen or on more data"
    )


def measure_quantization_effect(
    fp32: Probabilities, quantized: Probabilities, fp32_thresholds: Thresholds, quantized_thresholds: Thresholds
) -> QuantizationEffect:
    """Compare two files' probabilities (N, L) on the same examples, and the decisions of their thresholds."""
    difference = np.abs(fp32 - quantized)
    decisions = fp32_thresholds.apply(fp32)
    return QuantizationEffect(
        max_probability_difference=float(difference.max()),
        mean_probability_difference=float(difference.mean()),
        flipped=int((decisions != fp32_thresholds.apply(quantized)).sum()),
        flipped_refitted=int((decisions != quantized_thresholds.apply(quantized)).sum()),
        decisions=decisions.size,
    )


def _cases(preprocessor: Preprocessor, examples: Sequence[Example]) -> list[_Case]:
    by_length = sorted(examples, key=lambda example: len(example.text))
    chosen = [by_length[0], by_length[len(by_length) // 2], by_length[-1]]
    texts = [example.text for example in chosen]
    images = [preprocessor.image(example.image) for example in chosen]
    side = preprocessor.spec.image.size
    blank = np.zeros((side, side, 3), dtype=np.uint8)
    white = np.full_like(blank, 255)

    def case(name: str, texts: Sequence[str], images: Sequence[NDArray[np.uint8] | None]) -> _Case:
        return _Case(name, preprocessor.batch(preprocessor.rows(texts, images)))

    return [
        *(case(f"batch 1, {len(t)} characters", [t], [image]) for t, image in zip(texts, images, strict=True)),
        *(case(f"batch 1, text {t[:12]!r}", [t], [blank]) for t in TEXTS),
        *(case(f"batch 1, no image, text {t[:12]!r}", [t], [None]) for t in texts),
        *(_Case("golden answers", batch) for batch in golden_batches(preprocessor, golden_cases())),
        case("batch 3, padded", texts, images),
        case("batch 4, blank, white and no images", TEXTS, [blank, white, None, white]),
    ]
