"""Does the exported graph answer as its parent does? Knows two sets of logits, ships nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.classifier import Classifier
from distill.data import Example
from distill.errors import ParityError
from distill.metrics import Probabilities
from distill.preprocess import Batch, Reader
from distill.thresholds import Thresholds
from export.runtime import open_session, run

WORDS = ("", "ok", "¿Qué? 政治 🔥 العربية", "word " * 200)


@dataclass(frozen=True)
class Parity:
    """torch against fp32 ONNX: the largest |logit difference| over all `cases`."""

    cases: int
    max_logit_difference: float


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


def check(classifier: Classifier, model: Path, examples: Sequence[Example], max_drift: float) -> Parity:
    """Compare on batch 1 and N, short, long, empty and non-Latin texts, padded and not, real, blank and missing
    pictures. Raises ParityError when any logit differs by more than `max_drift`, or is not finite."""
    session = open_session(model, 0)
    network = classifier.network.cpu().eval()
    worst = 0.0
    cases = _cases(Reader(classifier.spec, classifier.tokenizer_json), examples)
    for name, batch in cases:
        with torch.no_grad():
            expected = network(*(torch.from_numpy(array) for array in batch.feed().values())).numpy()
        found = run(session, batch)
        difference = float(np.abs(expected - found).max())
        if not difference <= max_drift:  # also true of nan
            raise ParityError(
                f"the ONNX graph differs from torch by {difference:.2g} in a logit ({name}), more than "
                f"export.max_drift={max_drift:g}; nothing was written"
            )
        worst = max(worst, difference)
    return Parity(len(cases), worst)


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
    pictures = [reader.picture(example.image) for example in chosen]
    side = reader.spec.picture.size
    blank = np.zeros((side, side, 3), dtype=np.uint8)
    white = np.full_like(blank, 255)
    cases = [
        (f"batch 1, {len(text)} characters", _batch(reader, [text], [p]))
        for text, p in zip(texts, pictures, strict=True)
    ]
    cases += [(f"batch 1, text {text[:12]!r}", _batch(reader, [text], [blank])) for text in WORDS]
    cases += [(f"batch 1, no picture, text {text[:12]!r}", _batch(reader, [text], [None])) for text in texts]
    cases.append(("batch 3, padded", _batch(reader, texts, pictures)))
    different = _batch(reader, list(WORDS), [blank, white, None, white])
    cases.append(("batch 4, blank, white and no pictures", different))
    return cases


def _batch(reader: Reader, texts: list[str], pictures: list[NDArray[np.uint8] | None]) -> Batch:
    return reader.batch(reader.rows(texts, pictures))
