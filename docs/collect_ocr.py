"""How well captions are read off real memes, and what that costs in F1: docs/results/ocr.json.

    python docs/collect_ocr.py --data DIR --bundle BUNDLE --cache FILE

Every meme of train and dev is read, and compared with the text that people typed. Both are put into one form
first: Unicode NFKC, lower case, letters and digits only, one space for any run of blanks. The character error rate
(CER) is the Levenshtein distance (insertions, deletions and substitutions of single characters) over the typed
characters; of all memes together it is the sum of the distances over the sum of the characters, with a bootstrap
interval over memes. Without spaces, both texts lose theirs as well. A caption that is read in another order than it
was typed in counts as misread, and so does text of the image that people left out.

F1 is the Bundle's on dev alone: its student has seen the texts of train. `--cache` keeps what was read and how long
each took, outside of the repository; a broken run goes on there.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.measure.machine import describe
from distill.core.files import write_json
from distill.core.terminal import track
from distill.data.dataset import Example, Splits, read_splits, without_texts
from distill.runtime.ocr.reader import TextReader
from distill.runtime.ocr.reading_order import TextLine, sort_lines
from distill.runtime.predictor import Predictor
from distill.scoring.bootstrap import ROUNDS, PairedBootstrap, estimate
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import bootstrap_draws

OUT = Path(__file__).parent / "results" / "ocr.json"
BAD = 0.5  # a meme whose CER is above it is called misread


@dataclass(frozen=True)
class Read:
    """One meme: the lines in the order in which the detector gave them, and the seconds that it took."""

    lines: list[TextLine]
    seconds: float

    def text(self, order: Callable[[Sequence[TextLine]], list[TextLine]] = sort_lines) -> str:
        """The caption."""
        return "\n".join(line.text for line in order(self.lines))


def normalised(text: str, spaces: bool) -> str:
    """One form for what was typed and what was read; see above."""
    folded = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(c if c.isalnum() else " " for c in folded if c.isalnum() or c.isspace())
    return " ".join(kept.split()) if spaces else "".join(kept.split())


def distance(one: str, other: str) -> int:
    """Levenshtein's, a row of the table at a time."""
    letters = np.array([ord(c) for c in other], dtype=np.int64)
    steps = np.arange(len(other) + 1)
    row = steps
    for c in one:
        best = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(c)))
        fresh = np.concatenate([[row[0] + 1], best])
        row = np.minimum.accumulate(fresh - steps) + steps  # insertions, from the left
    return int(row[-1])


def read_all(examples: list[Example], cache: Path, reader: TextReader) -> list[Read]:
    """Of each example, from the cache where it stands there."""
    known: dict[str, Read] = {}
    if cache.is_file():
        for line in cache.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known[row["id"]] = Read([TextLine(**part) for part in row["lines"]], row["seconds"])
    with cache.open("a", encoding="utf-8") as handle:
        for example in track(examples, "reading images", len(examples)):
            if example.id in known or example.image is None:
                continue
            start = time.process_time()
            lines = reader.lines(example.image)
            known[example.id] = Read(lines, time.process_time() - start)
            row = {"id": example.id, "seconds": known[example.id].seconds, "lines": [asdict(x) for x in lines]}
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
            handle.flush()
    return [known[example.id] for example in examples]


def error_rates(examples: list[Example], texts: list[str], spaces: bool) -> dict[str, Any]:
    """CER of all together, of the median meme, and the share of memes above BAD."""
    pairs = [(normalised(e.text, spaces), normalised(t, spaces)) for e, t in zip(examples, texts, strict=True)]
    errors = np.array([distance(read, typed) for typed, read in pairs], dtype=np.float64)
    length = np.array([len(typed) for typed, _ in pairs], dtype=np.float64)
    weights = bootstrap_draws(len(pairs), ROUNDS, np.random.default_rng(0))
    drawn: NDArray[np.float64] = (weights @ errors) / (weights @ length)
    each = errors / np.maximum(length, 1)
    return {
        "cer": asdict(Estimate.of(errors.sum() / length.sum(), drawn)),
        "median": float(np.median(each)),
        "misread": float((each > BAD).mean()),
    }


def costs(splits: Splits, texts: list[str], predictor: Predictor) -> dict[str, Any]:
    """F1 and AP on dev with the typed texts, the texts that were read, and none; and the differences in pairs."""
    targets = splits.labels.encode([example.labels for example in splits.dev])
    asked = {
        "typed": splits.dev,
        "read": [replace(example, text=text) for example, text in zip(splits.dev, texts, strict=True)],
        "none": without_texts(splits.dev),
    }
    draws = PairedBootstrap(len(targets), 1)
    answers = {name: predictor.probabilities(examples) for name, examples in asked.items()}
    decided = {name: predictor.bundle.thresholds.apply(p) for name, p in answers.items()}
    scores = {name: draws.metric_draws(targets, [answers[name]], [decided[name]]) for name in asked}
    minus = {
        f"{one} - {other}": {key: scores[one][key] - scores[other][key] for key in scores[one]}
        for one, other in (("read", "typed"), ("read", "none"), ("typed", "none"))
    }
    return {
        "rows": {
            name: {key: asdict(estimate(values[key])) for key in ("micro", "macro", "micro_ap")}
            for name, values in (scores | minus).items()
        },
        "flipped": int((decided["read"] != decided["typed"]).sum()),
        "decisions": int(targets.size),
    }


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--bundle", required=True, type=click.Path(path_type=Path))
@click.option("--cache", required=True, type=click.Path(path_type=Path))
def collect(data: Path, bundle: Path, cache: Path) -> None:
    """Write docs/results/ocr.json."""
    splits = read_splits(data)
    reader = TextReader(threads=1)
    found = {name: read_all(splits.examples(name), cache, reader) for name in ("train", "dev")}
    examples, reads = [*splits.train, *splits.dev], [*found["train"], *found["dev"]]
    seconds = np.array([read.seconds for read in reads])
    rates = {
        f"{order}, {what}": error_rates(examples, [read.text(way) for read in reads], spaces)
        for order, way in (("ours", sort_lines), ("rapidocr's", list))
        for what, spaces in (("with spaces", True), ("without spaces", False))
    }
    tree = {
        "reader": reader.name,
        "memes": {name: len(part) for name, part in found.items()},
        "without_text": sum(not read.lines for read in reads),
        "without_text_typed": sum(not normalised(example.text, spaces=False) for example in examples),
        "rates": rates,
        "dev_rates": error_rates(splits.dev, [read.text() for read in found["dev"]], spaces=True),
        "seconds": {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 90)},
        "machine": {"cpu": describe().cpu, "threads": 1},
        "f1": costs(splits, [read.text() for read in found["dev"]], Predictor.load(bundle, threads=1)),
    }
    write_json(OUT, tree)


if __name__ == "__main__":
    collect()
