"""Does the exported graph answer as its parent does? Knows two sets of logits, ships nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import ParityError
from distill.data.dataset import Example
from distill.model.classifier import Classifier
from distill.preprocess.inputs import Batch, Reader
from distill.runtime.predictor import open_session, run
from distill.scoring.metrics import Probabilities, sigmoid
from distill.scoring.thresholds import Thresholds

WORDS = ("", "ok", "¿Qué? 政治 🔥 العربية", "word " * 200)


@dataclass(frozen=True)
class Parity:
    """torch against fp32 ONNX over all `cases`: the largest differences, and how many of the `decisions` (case,
    label) differ; those can only lie within max_drift of their threshold."""

    cases: int
    max_logit_difference: float
    max_probability_difference: float
    decisions: int
    flipped: int


@dataclass(frozen=True)
class Drift:
    """One file's outputs against its parent's on the same examples: what quantising changed.

    Probabilities are compared as they are. Of `decisions` (example, label) pairs, `flipped` changed with the
    parent's thresholds on both, which is quantising alone, and `flipped_refitted` with each file's own.
    """

    max_probability_difference: float
    mean_probability_difference: float
    flipped: int
    flipped_refitted: int
    decisions: int


def check(
    classifier: Classifier, model: Path, examples: Sequence[Example], max_drift: float, thresholds: Thresholds
) -> Parity:
    """Compare logits, probabilities and decisions on batch 1 and N, short, long, empty and non-Latin texts, padded
    and not, real, blank and missing images. Raises ParityError when any logit or probability differs by more
    than `max_drift`, or is not finite."""
    session = open_session(model, 0)
    worst = {"logit": 0.0, "probability": 0.0}
    cases = _cases(Reader(classifier.spec, classifier.tokenizer_json), examples)
    flipped = decisions = 0
    for name, batch in cases:
        expected, found = classifier.batch_logits(batch), run(session, batch)
        pairs = {"logit": (expected, found), "probability": (sigmoid(expected), sigmoid(found))}
        for what, (ours, theirs) in pairs.items():
            difference = float(np.abs(ours - theirs).max())
            if not difference <= max_drift:  # also true of nan
                raise ParityError(
                    f"the ONNX graph differs from torch by {difference:.2g} in a {what} ({name}), more than "
                    f"export.max_drift={max_drift:g}; nothing was written"
                )
            worst[what] = max(worst[what], difference)
        before, after = (thresholds.apply(p) for p in pairs["probability"])
        flipped += int((before != after).sum())
        decisions += before.size
    return Parity(len(cases), worst["logit"], worst["probability"], decisions, flipped)


def compare(parent: Probabilities, child: Probabilities, parents: Thresholds, childs: Thresholds) -> Drift:
    """Probabilities (N, L) of two files and the thresholds of each."""
    difference = np.abs(parent - child)
    before = parents.apply(parent)
    return Drift(
        max_probability_difference=float(difference.max()),
        mean_probability_difference=float(difference.mean()),
        flipped=int((before != parents.apply(child)).sum()),
        flipped_refitted=int((before != childs.apply(child)).sum()),
        decisions=before.size,
    )


def _cases(reader: Reader, examples: Sequence[Example]) -> list[tuple[str, Batch]]:
    chosen = sorted(examples, key=lambda example: len(example.text))
    chosen = [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
    texts = [example.text for example in chosen]
    images = [reader.image(example.image) for example in chosen]
    side = reader.spec.image.size
    blank = np.zeros((side, side, 3), dtype=np.uint8)
    white = np.full_like(blank, 255)
    cases = [
        (f"batch 1, {len(text)} characters", _batch(reader, [text], [p]))
        for text, p in zip(texts, images, strict=True)
    ]
    cases += [(f"batch 1, text {text[:12]!r}", _batch(reader, [text], [blank])) for text in WORDS]
    cases += [(f"batch 1, no image, text {text[:12]!r}", _batch(reader, [text], [None])) for text in texts]
    cases.append(("batch 3, padded", _batch(reader, texts, images)))
    different = _batch(reader, list(WORDS), [blank, white, None, white])
    cases.append(("batch 4, blank, white and no images", different))
    return cases


def _batch(reader: Reader, texts: list[str], images: list[NDArray[np.uint8] | None]) -> Batch:
    return reader.batch(reader.rows(texts, images))
