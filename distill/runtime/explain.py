"""What a Predictor's answer to one image and text rests on, by occlusion. Knows numbers; draws nothing.

An effect is the whole answer minus the answer with a part withheld: above 0, the part speaks for the label.

- A word is what stands between blanks; it is cut out of the text, and nothing is put in its place.
- A region is a square around the middle of one cell of a grid over the image as the model sees it, two cells wide
  and cut at the edges, painted in the model's mean colour (Zeiler and Fergus 2014, "Visualizing and Understanding
  Convolutional Networks").
- The whole text or image is withheld as in a post that has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from distill.core.errors import DataError
from distill.core.terminal import track
from distill.core.untrusted import printable
from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.preprocess.images import ImageSpec
from distill.preprocess.inputs import Reader, Row
from distill.preprocess.text import has_text
from distill.preprocess.tokenizer_guard import told
from distill.runtime.predictor import LogitsFunction, Predictor
from distill.scoring.metrics import sigmoid
from distill.scoring.thresholds import Thresholds

DIGITS = 5
WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Answer:
    """One label's answer: its logit, and that as a probability."""

    logit: float
    probability: float

    def minus(self, other: Answer) -> Answer:
        """The difference of both."""
        return Answer(round(self.logit - other.logit, DIGITS), round(self.probability - other.probability, DIGITS))


@dataclass(frozen=True)
class Word:
    """A word and where it stands in the text. One that the tokenizer cuts off is not `read`, and has no effect."""

    text: str
    start: int
    end: int
    read: bool


@dataclass(frozen=True)
class LabelEffects:
    """What one label's answer rests on: an effect of each word and of each region, row by row from the top left;
    `text_alone` and `image_alone` are answers, None where the other half is missing anyway."""

    label: str
    threshold: float
    whole: Answer
    text_alone: Answer | None
    image_alone: Answer | None
    words: tuple[Answer, ...]
    regions: tuple[tuple[Answer, ...], ...]

    @property
    def decided(self) -> bool:
        """Whether the model decides for the label."""
        return self.whole.probability >= self.threshold


@dataclass(frozen=True)
class Explanation:
    """The words of the text, the grid (0 without an image), and the labels that were asked for."""

    words: tuple[Word, ...]
    grid: int
    labels: tuple[LabelEffects, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self)


def explain(
    predictor: Predictor, example: Example, names: Sequence[str] = (), count: int = 3, grid: int = 7
) -> Explanation:
    """Effects on the labels of these `names`, or else on `count` labels: those decided for first, then by
    probability. Raises ImageError, and DataError for a stranger among the names or too fine a grid.

    The model is asked one question at a time, as `distill predict` does for one post: a file with dynamic int8
    takes its ranges from the whole batch, and the other questions in it would show in the answer.
    """
    labels, size = predictor.bundle.labels, predictor.bundle.preprocess.image.size
    for name in names:
        if name not in labels.names:
            raise DataError(f"--label {name}: the Bundle has no such label; it has {', '.join(labels.names)}")
    if grid > size:
        raise DataError(f"--grid {grid}: finer than the {size} pixels that the model sees; choose a coarser one")
    reader = predictor.reader
    image, words = reader.image(example.image), words_of(reader, example.text)
    read = [word for word in words if word.read]
    rows = _rows(reader, example.text, read, image, grid)
    logits = np.concatenate(list(_ask(predictor.logits, reader, rows)))
    grid = 0 if image is None else grid
    chosen = [labels.names.index(name) for name in names] or _top(
        logits[0], labels, predictor.bundle.thresholds, count
    )
    thresholds = predictor.bundle.thresholds.array().tolist()
    effects = (
        _effects(labels.names[i], thresholds[i], logits[:, i], words, grid, has_text(example.text)) for i in chosen
    )
    return Explanation(tuple(words), grid, tuple(effects))


def words_of(reader: Reader, text: str) -> list[Word]:
    """What stands between blanks, in reading order."""
    with told():
        offsets = reader.tokenizer.encode(printable(text)).offsets
    cut = max((end for _, end in offsets), default=0)  # no token stands behind it
    return [Word(m.group(), m.start(), m.end(), m.start() < cut) for m in WORD.finditer(text)]


def occluded(image: NDArray[np.uint8], grid: int, row: int, column: int, spec: ImageSpec) -> NDArray[np.uint8]:
    """A copy with the square of one cell painted over: uint8 (size, size, 3)."""
    cell, colour = len(image) / grid, np.rint(np.asarray(spec.mean) * 255).clip(0, 255)
    (top, bottom), (left, right) = (
        (max(0, round((place - 0.5) * cell)), round((place + 1.5) * cell)) for place in (row, column)
    )
    copy = image.copy()
    copy[top:bottom, left:right] = colour.astype(np.uint8)
    return copy


def _rows(reader: Reader, text: str, read: Sequence[Word], image: NDArray[np.uint8] | None, grid: int) -> list[Row]:
    """The questions, in the order in which `_effects` takes the answers: the whole; each half alone, where there
    are two; without each word that is read; without each region."""
    halves = [(text, None), ("", image)] if has_text(text) and image is not None else []
    without = [(text[: word.start] + text[word.end :], image) for word in read]
    rows = reader.rows(*zip(*[(text, image), *halves, *without], strict=True))
    if image is not None:
        whole, spec = rows[0], reader.spec.image
        for place in range(grid * grid):
            rows.append(Row(whole.ids, whole.has_text, occluded(image, grid, *divmod(place, grid), spec)))
    return rows


def _ask(logits: LogitsFunction, reader: Reader, rows: Sequence[Row]) -> Iterator[NDArray[np.float32]]:
    for row in track(rows, "explaining", len(rows)):
        yield logits(reader.batch([row]))


def _top(logits: NDArray[np.float32], labels: LabelSet, thresholds: Thresholds, count: int) -> list[int]:
    probabilities = sigmoid(logits)
    decided = thresholds.apply(probabilities)
    return sorted(range(len(labels)), key=lambda i: (not decided[i], -probabilities[i]))[:count]


def _effects(
    name: str, threshold: float, logits: NDArray[np.float32], words: Sequence[Word], grid: int, text: bool
) -> LabelEffects:
    """From one label's answers (N,) to all questions."""
    answers = iter([Answer(float(x), float(p)) for x, p in zip(logits, sigmoid(logits), strict=True)])
    whole = next(answers)
    text_alone, image_alone = (next(answers), next(answers)) if grid and text else (None, None)
    none = Answer(0.0, 0.0)
    on_words = tuple(whole.minus(next(answers)) if word.read else none for word in words)
    on_regions = tuple(tuple(whole.minus(next(answers)) for _ in range(grid)) for _ in range(grid))
    return LabelEffects(name, threshold, whole, text_alone, image_alone, on_words, on_regions)


def to_table(found: Explanation) -> Table:
    """The labels, each half alone, and the three words that count most."""
    table = Table(title="What the answer rests on (points of probability)", title_justify="left")
    table.add_column("label")
    for name in ("probability", "threshold", "text alone", "image alone"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strongest words")
    for one in found.labels:
        halves = ("" if half is None else f"{half.probability:.2f}" for half in (one.text_alone, one.image_alone))
        order = sorted(range(len(found.words)), key=lambda i: -abs(one.words[i].probability))[:3]
        words = (f"{printable(found.words[i].text)[:24]} {100 * one.words[i].probability:+.1f}" for i in order)
        numbers = (f"{one.whole.probability:.2f}", f"{one.threshold:.2f}", *halves)
        table.add_row(escape(one.label), *numbers, escape(", ".join(words)))
    return table
