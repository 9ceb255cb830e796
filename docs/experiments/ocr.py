"""How well captions are read off real memes, and what that costs in F1: docs/ocr.md.

What was typed and what was read are put into one form first: Unicode NFKC, lower case, letters and digits only,
one space for any run of blanks. The character error rate (CER) is the Levenshtein distance over the typed
characters; of all memes together it is the sum of the distances over the sum of the characters, with a bootstrap
interval over memes. Without spaces, both texts lose theirs as well. A caption that is read in another order than it
was typed in counts as misread, and so does text of the image that people left out.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from distill.core.output.terminal import track
from distill.data.dataset import Example, Splits, encode_targets, read_splits, without_texts
from distill.runtime.ocr.reader import TextReader
from distill.runtime.ocr.reading_order import TextLine, sort_lines
from distill.runtime.predictor import Predictor
from distill.scoring.bootstrap import ROUNDS, PairedBootstrap, estimate, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import bootstrap_draws
from experiments.results import bundle_option, conditions, data_option, figure, notes, processor, read, table, write

BAD = 0.5  # a meme whose CER is above it is called misread
METRICS = ("micro", "macro", "micro_ap")
TEXTS = {"typed": "typed by annotators", "read": "read off the image", "none": "none: the image alone"}
Order = Callable[[Sequence[TextLine]], list[TextLine]]


@click.command("ocr")
@data_option
@bundle_option
@click.pass_obj
def measure(results: Path, data: Path, bundle: Path) -> None:
    """Read every meme of train and dev, and compare with what people typed (ocr.json).

    F1 is the Bundle's on dev alone: its student has seen the texts of train.
    """
    splits, ocr = read_splits(data), TextReader(threads=1)
    examples = [*splits.train, *splits.dev]
    found = conditions(examples, packages=["rapidocr"], threads=1)
    captions, seconds = [], []
    for example in track(examples, "reading images", len(examples)):
        assert example.image is not None, f"{example.id}: has no image"
        start = time.process_time()
        captions.append(ocr.lines(example.image))
        seconds.append(time.process_time() - start)

    def texts(order: Order) -> list[str]:
        return ["\n".join(line.text for line in order(lines)) for lines in captions]

    on_dev = texts(sort_lines)[len(splits.train) :]
    rates = {
        f"{name}, with{'' if spaces else 'out'} spaces": error_rates(examples, texts(order), spaces)
        for name, order in (("ours", sort_lines), ("rapidocr's", list))
        for spaces in (True, False)
    }
    tree = {
        "reader": ocr.name,
        "memes": {"train": len(splits.train), "dev": len(splits.dev)},
        "without_text": sum(not lines for lines in captions),
        "without_text_typed": sum(not normalised(example.text, spaces=False) for example in examples),
        "rates": rates,
        "dev_rates": error_rates(splits.dev, on_dev, spaces=True),
        "seconds": {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 90)},
        "f1": costs(splits, on_dev, Predictor.load(bundle, threads=1)),
    }
    write(results, "ocr", found, tree)


def normalised(text: str, spaces: bool) -> str:
    """One form for what was typed and what was read; see above."""
    folded = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(c if c.isalnum() else " " for c in folded if c.isalnum() or c.isspace())
    return (" " if spaces else "").join(kept.split())


def distance(one: str, other: str) -> int:
    """Levenshtein's: insertions, deletions and substitutions of single characters, a row of the table at a time."""
    letters = np.array([ord(c) for c in other], dtype=np.int64)
    steps = np.arange(len(other) + 1)
    row = steps
    for c in one:
        best = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(c)))
        fresh = np.concatenate([[row[0] + 1], best])
        row = np.minimum.accumulate(fresh - steps) + steps  # insertions, from the left
    return int(row[-1])


def error_rates(examples: Sequence[Example], texts: Sequence[str], spaces: bool) -> dict[str, Any]:
    """CER of all together, of the median meme, and the share of memes above BAD."""
    pairs = [(normalised(e.text, spaces), normalised(t, spaces)) for e, t in zip(examples, texts, strict=True)]
    errors = np.array([distance(read, typed) for typed, read in pairs], dtype=np.float64)
    length = np.array([len(typed) for typed, _ in pairs], dtype=np.float64)
    weights = bootstrap_draws(len(pairs), ROUNDS, np.random.default_rng(0))
    each = errors / np.maximum(length, 1)
    return {
        "cer": asdict(Estimate.of(errors.sum() / length.sum(), (weights @ errors) / (weights @ length))),
        "median": float(np.median(each)),
        "misread": float((each > BAD).mean()),
    }


def costs(splits: Splits, texts: Sequence[str], predictor: Predictor) -> dict[str, Any]:
    """F1 and AP on dev with the typed texts, the texts that were read, and none; and the differences in pairs."""
    targets = encode_targets(splits.dev, splits.labels)
    read = [replace(example, text=text) for example, text in zip(splits.dev, texts, strict=True)]
    asked = {"typed": splits.dev, "read": read, "none": without_texts(splits.dev)}
    draws = PairedBootstrap(len(targets), 1)
    answers = {name: predictor.probabilities(examples) for name, examples in asked.items()}
    decided = {name: predictor.bundle.thresholds.apply(p) for name, p in answers.items()}
    scores = {name: draws.metric_draws(targets, [answers[name]], [decided[name]]) for name in asked}
    rows = {name: {key: estimate(score[key]) for key in METRICS} for name, score in scores.items()}
    for one, other in (("read", "typed"), ("read", "none"), ("typed", "none")):
        rows[f"{one} - {other}"] = paired_difference(scores[one], scores[other])
    return {
        "rows": {name: {key: asdict(row[key]) for key in METRICS} for name, row in rows.items()},
        "flipped": int((decided["read"] != decided["typed"]).sum()),
        "decisions": int(targets.size),
    }


def rates() -> str:
    """Character error rates by order of lines and by spaces."""
    tree = read("ocr")
    memes, seconds, c = tree["memes"], tree["seconds"], tree["conditions"]
    rows = [
        (name, figure(rate["cer"]), f"{rate['median']:.3f}", f"{rate['misread']:.1%}")
        for name, rate in (tree["rates"] | {"ours, with spaces, dev alone": tree["dev_rates"]}).items()
    ]
    headings = f"order of lines | character error rate [95 %] | median meme | memes above {BAD}"
    return table(headings, rows) + notes(
        f"{tree['reader']}, {memes['train']} + {memes['dev']} memes; {tree['without_text']} of them without any "
        f"text found, {tree['without_text_typed']} without any typed.",
        f"A meme takes {seconds['p50']:.2f} s of processor time in the median, {seconds['p90']:.2f} s at p90 "
        f"({processor(c)}, {c['threads']} thread, other work beside it).",
        "Edits over typed characters, both in lower case, letters and digits alone; docs/experiments/ocr.py "
        "defines them.",
    )


def f1() -> str:
    """The Bundle's F1 with each kind of text, and the differences in pairs."""
    tree = read("ocr")
    rows = [
        (TEXTS.get(name, name), *(figure(row[key], ".3f" if name in TEXTS else "+.3f") for key in METRICS))
        for name, row in tree["f1"]["rows"].items()
    ]
    return table("text | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %]", rows) + notes(
        f"An int8 Bundle on dev ({tree['memes']['dev']} memes) with its own thresholds; its student has seen the "
        "texts of train.",
        f"{tree['f1']['flipped']} of {tree['f1']['decisions']} decisions are others with the text that was read.",
    )
