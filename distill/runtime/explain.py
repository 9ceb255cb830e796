"""Explains a prediction by occlusion: how much each word and each region of the image adds to a label.

An effect is the output for the whole post minus the output without one part. Above 0, the part speaks for the
label.

- A word is what stands between blanks; it is cut out of the text, and nothing is put in its place.
- A region is a square around the middle of one cell of a grid over the image as the model sees it, two cells wide
  and cut at the edges, painted in the model's mean colour (Zeiler and Fergus 2014, "Visualizing and Understanding
  Convolutional Networks").
- The whole text or image is left out as in a post that has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from distill.core.errors import DataError
from distill.core.output.terminal import track
from distill.core.untrusted import replace_surrogates
from distill.data.dataset import Example
from distill.preprocess.images import ImageSpec
from distill.preprocess.inputs import EncodedExample, Preprocessor
from distill.preprocess.text import has_text
from distill.preprocess.tokenizer_guard import translate_errors
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import logit
from distill.scoring.probabilities import to_probabilities

DIGITS = 5
WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Output:
    """The model's output for one label, as logit and as probability; or an effect, the difference of two. The logit
    of a label of a group is log(p / (1 - p)) of its probability."""

    logit: float
    probability: float

    def __sub__(self, other: Output) -> Output:
        return Output(round(self.logit - other.logit, DIGITS), round(self.probability - other.probability, DIGITS))


@dataclass(frozen=True)
class Word:
    """A word and where it stands in the text. One that the tokenizer cuts off is not `read` and has no effect."""

    text: str
    start: int
    end: int
    read: bool


@dataclass(frozen=True)
class LabelEffects:
    """The effects on one label: of each word, and of each region, row by row from the top left.

    `whole`, `text_alone` and `image_alone` are outputs; the last two are None for a post without both halves. A
    label of a group has no threshold, and is `decided` where it is the most probable of the group.
    """

    label: str
    threshold: float | None
    decided: bool
    whole: Output
    text_alone: Output | None
    image_alone: Output | None
    words: tuple[Output, ...]
    regions: tuple[tuple[Output, ...], ...]


@dataclass(frozen=True)
class Explanation:
    """The words of the text, the grid's cells on a side (0 without an image), and the effects by label."""

    words: tuple[Word, ...]
    grid: int
    labels: tuple[LabelEffects, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self)


def explain_prediction(
    predictor: Predictor, example: Example, names: Sequence[str] = (), count: int = 3, grid: int = 7
) -> Explanation:
    """The effects on the labels of these `names`, or else on `count` labels: predicted ones first, then by
    probability. Raises ImageError, and DataError for an unknown label or too fine a grid.

    Each row runs alone, as `distill predict` runs a post: in a batch the other rows would change the outputs.
    """
    labels, thresholds = predictor.bundle.labels, predictor.bundle.thresholds
    size = predictor.bundle.preprocess.image.size
    for name in names:
        if name not in labels.names:
            raise DataError(f"--label {name}: the Bundle has no such label; it has {', '.join(labels.names)}")
    if grid > size:
        raise DataError(f"--grid {grid}: finer than the {size} pixels that the model sees; choose a coarser one")
    preprocessor = predictor.preprocessor
    image, words = preprocessor.image(example.image), split_words(preprocessor, example.text)
    rows = _occluded_rows(preprocessor, example.text, [word for word in words if word.read], image, grid)
    logits = np.concatenate(list(_run(predictor, rows)))
    grid = 0 if image is None else grid
    probabilities = to_probabilities(logits, labels.group_columns)
    for columns in labels.group_columns.values():
        logits[:, columns] = logit(probabilities[:, columns])
    decided = thresholds.apply(probabilities[0])
    chosen = [labels.names.index(name) for name in names] or _top_labels(probabilities[0], decided, count)
    has_both = grid > 0 and has_text(example.text)
    effects = []
    for i in chosen:
        outputs = [Output(float(x), float(p)) for x, p in zip(logits[:, i], probabilities[:, i], strict=True)]
        threshold = None if thresholds.values[i] is None else float(thresholds.array()[i])
        of_label = _effects(labels.names[i], threshold, outputs, words, grid, has_both)
        effects.append(replace(of_label, decided=bool(decided[i])))
    return Explanation(tuple(words), grid, tuple(effects))


def split_words(preprocessor: Preprocessor, text: str) -> list[Word]:
    """The words of a text, in reading order."""
    with translate_errors():
        offsets = preprocessor.tokenizer.encode(replace_surrogates(text)).offsets
    cut = max((end for _, end in offsets), default=0)  # no token stands behind it
    return [Word(m.group(), m.start(), m.end(), m.start() < cut) for m in WORD.finditer(text)]


def occlude(image: NDArray[np.uint8], grid: int, row: int, column: int, spec: ImageSpec) -> NDArray[np.uint8]:
    """A copy with the square around one cell painted over: uint8 (size, size, 3)."""
    cell, colour = len(image) / grid, np.rint(np.asarray(spec.mean) * 255).clip(0, 255)
    (top, bottom), (left, right) = (
        (max(0, round((place - 0.5) * cell)), round((place + 1.5) * cell)) for place in (row, column)
    )
    copy = image.copy()
    copy[top:bottom, left:right] = colour.astype(np.uint8)
    return copy


def to_table(explanation: Explanation) -> Table:
    """A row for each label: its probability, each half alone, and the three words with the strongest effects."""
    table = Table(title="What the prediction rests on (points of probability)", title_justify="left")
    table.add_column("label")
    for name in ("probability", "threshold", "text alone", "image alone"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strongest words")
    for label in explanation.labels:
        halves = (
            "" if half is None else f"{half.probability:.2f}" for half in (label.text_alone, label.image_alone)
        )
        effects = sorted(zip(explanation.words, label.words, strict=True), key=lambda x: -abs(x[1].probability))
        words = (
            f"{replace_surrogates(word.text)[:24]} {100 * effect.probability:+.1f}" for word, effect in effects[:3]
        )
        cut = "highest" if label.threshold is None else f"{label.threshold:.2f}"
        numbers = (f"{label.whole.probability:.2f}", cut, *halves)
        table.add_row(label.label, *numbers, ", ".join(words))
    return table


def _occluded_rows(
    preprocessor: Preprocessor, text: str, read: Sequence[Word], image: NDArray[np.uint8] | None, grid: int
) -> list[EncodedExample]:
    """The rows to run, in the order in which `_effects` takes their outputs: the whole post; each half alone, where
    there are two; without each word that is read; without each region."""
    halves = [(text, None), ("", image)] if has_text(text) and image is not None else []
    without = [(text[: word.start] + text[word.end :], image) for word in read]
    rows = preprocessor.rows(*zip(*[(text, image), *halves, *without], strict=True))
    if image is not None:
        whole, spec = rows[0], preprocessor.spec.image
        for place in range(grid * grid):
            rows.append(EncodedExample(whole.ids, whole.has_text, occlude(image, grid, *divmod(place, grid), spec)))
    return rows


def _run(predictor: Predictor, rows: Sequence[EncodedExample]) -> Iterator[NDArray[np.float32]]:
    def logits(row: EncodedExample) -> NDArray[np.float32]:
        return predictor.logits(predictor.preprocessor.batch([row]))

    return predictor.pool.map(logits, track(rows, "explaining", len(rows)))


def _top_labels(probabilities: NDArray[np.float32], decided: NDArray[np.bool_], count: int) -> list[int]:
    return sorted(range(len(decided)), key=lambda i: (not decided[i], -probabilities[i]))[:count]


def _effects(
    name: str, threshold: float | None, outputs: Sequence[Output], words: Sequence[Word], grid: int, has_both: bool
) -> LabelEffects:
    """From one label's outputs for all rows; it is not yet decided."""
    rest = iter(outputs)
    whole = next(rest)
    text_alone, image_alone = (next(rest), next(rest)) if has_both else (None, None)
    none = Output(0.0, 0.0)
    on_words = tuple(whole - next(rest) if word.read else none for word in words)
    on_regions = tuple(tuple(whole - next(rest) for _ in range(grid)) for _ in range(grid))
    return LabelEffects(name, threshold, False, whole, text_alone, image_alone, on_words, on_regions)
