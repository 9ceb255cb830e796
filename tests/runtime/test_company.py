"""An answer never depends on its company: any order, any grouping, any number of workers, the same bits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from chain import Chain

from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import evaluate
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import variant_from_path
from distill.core.errors import ImageError
from distill.data.dataset import Example
from distill.data.sources import FailedRow
from distill.preprocess.text import CutTexts
from distill.runtime.opened import RunOptions
from distill.runtime.predictor import Prediction, Predictor


@cache
def opened(folder: Path, workers: int, batch: int = 0) -> Predictor:
    return Predictor.load(folder, workers, RunOptions(batch=batch))


def posts(chain: Chain) -> list[Example]:
    """Texts of many lengths; some posts lack a half, and some images cannot be read."""
    found = []
    for number, example in enumerate([*chain.splits.test, *chain.splits.dev]):
        text = "" if number % 7 == 3 else " ".join([example.text] * (1 + number % 5))
        image = None if number % 5 == 1 and text else example.image
        image = Path("no such image.jpg") if number % 11 == 9 else image
        found.append(replace(example, id=str(number), text=text, image=image))
    return found


def bits(predictor: Predictor, examples: Sequence[Example]) -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Probabilities and decisions by id."""
    readable = [example for example in examples if example.image is None or example.image.exists()]
    probabilities = predictor.probabilities(readable)
    decided = map(predictor.bundle.labels.decode, predictor.decide(probabilities))
    ids = [example.id for example in readable]
    return dict(zip(ids, zip((row.tobytes() for row in probabilities), decided, strict=True), strict=True))


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_any_order_and_grouping_give_the_same_bits_with_one_worker_and_two(chain: Chain, precision: str) -> None:
    folder, examples = getattr(chain, precision), posts(chain)
    expected: dict[str, object] = {}
    for example in examples:
        expected |= bits(opened(folder, 1), [example])
    for seed in range(4):
        draw = random.Random(seed)
        shuffled = draw.sample(examples, len(examples))
        cuts = [0, *sorted(draw.sample(range(1, len(examples)), 3)), len(examples)]
        for workers in (1, 2):
            predictor, answers = opened(folder, workers), {}
            for start, stop in pairwise(cuts):
                answers |= bits(predictor, shuffled[start:stop])
            assert answers == expected


def test_a_stream_is_what_each_post_is_alone_and_failures_stand_in_their_places(chain: Chain) -> None:
    examples, alone = posts(chain), opened(chain.int8, 1)

    def answer(example: Example) -> Prediction | FailedRow:
        try:
            return alone.predict(example.text, example.image, example.id)
        except ImageError as error:
            return FailedRow(example.id, str(error))

    expected = list(map(answer, examples))
    assert sum(isinstance(one, FailedRow) for one in expected) > 3
    for workers in (1, 2):
        assert list(opened(chain.int8, workers).stream(examples)) == expected
        rows = [{"id": e.id, "text": e.text, "image": e.image} for e in examples]
        assert opened(chain.int8, workers).predict_many(rows, on_error="return") == expected


def test_evaluating_measures_what_predicting_answers(chain: Chain) -> None:
    eval_set = EvalSet.from_splits(chain.splits, "test")
    measured = evaluate(open_variant(variant_from_path(chain.int8), 2), eval_set)
    predictor = opened(chain.int8, 1)
    decided = [predictor.predict(e.text, e.image).labels for e in eval_set.examples]
    names = predictor.labels
    assert [tuple(names[i] for i in row) for row in measured.decided] == decided


def test_batches_keep_order_and_failures_and_their_bits_do_not_depend_on_workers(chain: Chain) -> None:
    examples = posts(chain) * 7  # more than a chunk
    one, two = (list(opened(chain.int8, workers, batch=6).stream(examples)) for workers in (1, 2))
    assert one == two
    assert [answer.id for answer in one] == [example.id for example in examples]
    alone = list(opened(chain.int8, 1).stream(examples))
    for batched, single in zip(one, alone, strict=True):
        assert type(batched) is type(single)
        if isinstance(batched, Prediction) and isinstance(single, Prediction):
            assert batched.probabilities == pytest.approx(single.probabilities, abs=0.05)


def test_workers_count_every_text_that_they_cut(chain: Chain) -> None:
    examples = [replace(e, text=" ".join([e.text] * (60 * (n % 2) + 1))) for n, e in enumerate(posts(chain))]
    counts = []
    for workers in (1, 2):
        predictor = opened(chain.int8, workers)
        predictor.preprocessor.cut = CutTexts()
        list(predictor.stream(examples))
        counts.append(predictor.preprocessor.cut)
    assert counts[0] == counts[1]
    assert counts[0].cut > 10


def test_nothing_is_an_array_of_nothing(chain: Chain) -> None:
    predictor = opened(chain.int8, 2)
    assert predictor.probabilities([]).shape == predictor.predict_proba([]).shape == (0, len(predictor.labels))
    assert list(predictor.stream([])) == []
    assert np.isfinite(predictor.predict_proba([("a", None)])).all()
