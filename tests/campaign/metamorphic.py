"""Predictions that must not change when only the form, the order or the company of a post does.

Each relation draws its own posts, gives them in two ways and compares what comes back.
"""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from campaign.outcome import Tally, Wrong
from campaign.subject import Subject
from distill.core.errors import DataError
from distill.data.sources import FailedRow, Item, Source
from distill.runtime.predictor import Prediction, Predictor
from distill.scoring.metrics import sigmoid
from distill.scoring.thresholds import fit_thresholds

COMPANY = 0.08  # of a probability: int8 products depend a little on what shares a batch (docs/serve.md)
FLOATS = 2e-4  # of a probability that is rounded to 4 digits: sums in another order
WORDS = (
    "who",
    "DID",
    "this",
    "great",
    "doom",
    "é",
    "e\u0301",
    "ﬁ",
    "政治",
    "🔥",
    "\u200b",
    "العربية",
    "İ",
    "ß",
    "  ",
    "\t",
    "\n",
)
LOSSLESS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
)


class Relations:
    """The two Bundles, opened, and the random numbers that posts are drawn with."""

    def __init__(self, subject: Subject, folder: Path, seed: int) -> None:
        self.folder = folder
        self.exact = Predictor.load(subject.fp32, threads=1)
        self.rounded = Predictor.load(subject.int8, threads=1)
        self.images = sorted((subject.data / "images").iterdir())
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(seed)

    def text(self) -> str:
        """A few words in several scripts, with blanks of several kinds."""
        text = self.rng.choice((" ", "")).join(self.rng.choices(WORDS, k=self.rng.randint(1, 30)))
        return text if text.strip() else "who"

    def rows(self, most: int = 40) -> list[dict[str, Any]]:
        """Posts with a text, an image or both."""
        rows = []
        for number in range(self.rng.randint(2, most)):
            text, image = self.text(), str(self.rng.choice(self.images))
            drop = self.rng.randrange(4)
            rows.append(
                {"id": f"{number}", "text": None if drop == 0 else text, "image": None if drop == 1 else image}
            )
        return rows

    def picture(self) -> Image.Image:
        """Noise or a photo-like image, small enough that no decoder takes a short cut."""
        if self.rng.random() < 0.5:
            with Image.open(self.rng.choice(self.images)) as image:
                return image.convert("RGB").resize((60, 50))
        size = (self.rng.randint(1, 60), self.rng.randint(1, 60), 3)
        return Image.fromarray(self.numbers.integers(0, 256, size, dtype=np.uint8))


def row_order(relations: Relations) -> None:
    """A post's answer does not depend on its place."""
    rows = relations.rows()
    order = relations.rng.sample(range(len(rows)), len(rows))
    for predictor, tolerance in ((relations.exact, FLOATS), (relations.rounded, COMPANY)):
        expected = predictor.predict_many(rows)
        actual = predictor.predict_many([rows[place] for place in order])
        _equal([expected[place] for place in order], actual, tolerance)


def company(relations: Relations) -> None:
    """A post's answer does not depend on the others of its batch."""
    rows = relations.rows()
    for predictor, tolerance in ((relations.exact, FLOATS), (relations.rounded, COMPANY)):
        alone = [predictor.predict(**row) for row in rows]
        _equal(alone, predictor.predict_many(rows), tolerance)


def irrelevant_columns(relations: Relations) -> None:
    """A column that means nothing to a model changes no answer; it may be refused aloud."""
    rows = relations.rows(6)
    more = [row | {"likes": 5, "author": "é"} for row in rows]
    expected = relations.exact.predict_many(rows)
    for read in (relations.exact.predict_many, lambda given: _from_file(relations, given, ".json")):
        try:
            actual = read(more)
        except DataError:
            continue
        if any(isinstance(prediction, FailedRow) for prediction in actual):
            continue
        _equal(expected, actual, FLOATS)


def lossless_formats(relations: Relations) -> None:
    """The same pixels in another file, in memory or as an array are the same image."""
    picture, text = relations.picture(), relations.text()
    expected = relations.exact.predict(text, picture)
    given: list[Any] = [np.asarray(picture)]
    for number, (form, options) in enumerate(LOSSLESS):
        buffer = io.BytesIO()
        picture.save(buffer, format=form, **options)
        path = relations.folder / f"{number}.{form.lower()}"
        path.write_bytes(buffer.getvalue())
        given += [buffer.getvalue(), path]
    _equal([expected] * len(given), [relations.exact.predict(text, image) for image in given], 0)


def formats_of_rows(relations: Relations) -> None:
    """The same rows as JSON, JSON Lines, CSV and Parquet are the same posts, texts character for character."""
    rows = relations.rows(12)
    expected = [(row["id"], row["text"] or "", row["image"]) for row in rows]
    for suffix in (".json", ".jsonl", ".csv", ".parquet"):
        items = list(Source.open(_write(relations.folder / f"rows{suffix}", rows)).items())
        actual = [_parts(item) for item in items]
        if actual != expected:
            differs = next(pair for pair in zip(expected, actual, strict=True) if pair[0] != pair[1])
            raise Wrong(f"a {suffix} file gives other posts", f"{differs[0]!r} became {differs[1]!r}")
    _equal(relations.exact.predict_many(rows), _from_file(relations, rows, ".csv"), FLOATS)


def blanks_kept(relations: Relations) -> None:
    """Blanks at the ends of a text, and other spellings of it, are the tokenizer's business alone."""
    text = relations.text()
    ids = relations.exact.preprocessor.ids([text])
    rows = [{"id": "1", "text": text}]
    for suffix in (".json", ".jsonl"):
        (item,) = Source.open(_write(relations.folder / f"text{suffix}", rows)).items()
        if isinstance(item, FailedRow) or relations.exact.preprocessor.ids([item.text]) != ids:
            raise Wrong(f"a {suffix} file gives another text", f"{text!r} became {item!r}")


def scaled_logits(relations: Relations) -> None:
    """Thresholds fitted on a label's logits, and on these scaled and shifted, decide alike."""
    numbers = relations.numbers
    rows, labels = int(numbers.integers(20, 200)), int(numbers.integers(1, 8))
    targets = (numbers.random((rows, labels)) < numbers.uniform(0.05, 0.6, labels)).astype(np.float32)
    targets[0] = 1
    logits = targets * numbers.uniform(0, 4) + numbers.normal(0, 1, (rows, labels))
    scale, shift = numbers.uniform(0.3, 3, labels), numbers.uniform(-1, 1, labels)
    objective = relations.rng.choice(("micro", "macro", "balanced"))
    first, second = (
        fit_thresholds(p, targets, objective, "dev").apply(p)
        for p in (sigmoid(x.astype(np.float32)) for x in (logits, logits * scale + shift))
    )
    if (first != second).any():
        flipped = f"{int((first != second).sum())} of {first.size} decisions flip, {objective}, {rows} rows"
        raise Wrong("thresholds depend on the scale or the shift of the logits", flipped)


RELATIONS: tuple[Callable[[Relations], None], ...] = (
    row_order,
    company,
    irrelevant_columns,
    lossless_formats,
    formats_of_rows,
    blanks_kept,
    scaled_logits,
)


def compare(tally: Tally, subject: Subject, seconds: float, seed: int, rounds: int = 1 << 30) -> None:
    """Try every relation in turn until the time is up; each round has a seed of its own."""
    end = monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="distill-metamorphic-") as folder:
        relations = Relations(subject, Path(folder), seed)
        for number in range(rounds):
            if monotonic() > end:
                break
            for relation in RELATIONS:
                _try(tally, relations, relation, seed * 100_000 + number)


def _try(tally: Tally, relations: Relations, relation: Callable[[Relations], None], seed: int) -> None:
    name = relation.__name__.replace("_", " ")
    relations.rng, relations.numbers = random.Random(seed), np.random.default_rng(seed)
    again = f"from campaign.metamorphic import again\nagain({relation.__name__!r}, {seed})\n".encode()
    with tally.timed(name):
        try:
            relation(relations)
        except Wrong as error:
            tally.fail(name, f"{error.what}: {error.detail}", again, ".py", error.what)
        except Exception as error:  # noqa: BLE001 - the finding itself
            trace = traceback.format_exc().encode()
            what = f"{type(error).__name__}: {error}"
            tally.fail(
                name, what, again + b"\n".join(b"# " + line for line in trace.splitlines()), ".py", what[:60]
            )


def again(name: str, seed: int, subject: Subject | None = None) -> None:
    """Try one relation with one seed, and let what it raises through."""
    from campaign.command import WORK
    from campaign.subject import prepare

    with tempfile.TemporaryDirectory() as folder:
        globals()[name](Relations(subject or prepare(WORK), Path(folder), seed))


def _parts(item: Item) -> tuple[str, str, str | None]:
    if isinstance(item, FailedRow):
        return item.id, f"refused: {item.error}", None
    return item.id, item.text, None if item.image is None else str(item.image)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows in the format of the path's suffix."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=bool(len(rows) % 2)), encoding="utf-8")
    elif path.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=bool(len(rows) % 2)) for row in rows)
        path.write_text("\n".join(lines), encoding="utf-8", newline="")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, ("id", "text", "image"))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def _from_file(relations: Relations, rows: Sequence[dict[str, Any]], suffix: str) -> list[Prediction | FailedRow]:
    return list(relations.exact.stream(Source.open(_write(relations.folder / f"rows{suffix}", rows)).items()))


def _equal(expected: Iterable[Any], actual: Iterable[Any], tolerance: float) -> None:
    """Raise Wrong unless all probabilities are within `tolerance`; labels may differ only where it is above 0."""
    for before, after in zip(expected, actual, strict=True):
        if isinstance(before, FailedRow) or isinstance(after, FailedRow):
            raise Wrong("a post was refused in one of two forms", f"{before!r}, {after!r}"[:300])
        moved = max(abs(before.probabilities[name] - after.probabilities[name]) for name in before.probabilities)
        if moved > tolerance or (tolerance == 0 and before.labels != after.labels):
            raise Wrong("another answer", f"a probability of post {before.id!r} moved by {moved:.4f}")
