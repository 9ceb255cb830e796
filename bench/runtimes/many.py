"""Many posts at once: how a runtime uses all of its threads when no post is in a hurry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.preprocess.inputs import Preprocessor
from distill.runtime.pipeline import LogitsFunction, Pipeline
from distill.runtime.pool import WorkerPool
from distill.scoring.metrics import Probabilities
from distill.scoring.thresholds import Thresholds


class Parts(Protocol):
    """What is around a model, as `bench.runtimes.open_model.OpenModel` has it."""

    preprocessor: Preprocessor
    labels: LabelSet
    thresholds: Thresholds


@dataclass(frozen=True)
class Many:
    """A way to answer many posts: in words, and as a function of the posts and of how many the model takes
    together, which gives the labels decided for each post, in order."""

    how: str
    answer: Callable[[Sequence[Example], int], list[tuple[str, ...]]]


def by_workers(parts: Parts, logits: LogitsFunction, pool: WorkerPool, how: str) -> Many:
    """Each worker decodes, tokenises and runs the model, as in `distill predict`."""

    def answer(posts: Sequence[Example], batch: int) -> list[tuple[str, ...]]:
        pipeline = Pipeline(logits, parts.preprocessor, parts.labels.group_columns, batch)
        return [decide(parts, probabilities) for _, probabilities in pipeline.run(posts, pool)]

    return Many(how, answer)


def decide(parts: Parts, probabilities: Probabilities) -> tuple[str, ...]:
    """The labels decided for one post, from its probabilities (L,)."""
    return parts.labels.decode(parts.thresholds.apply(probabilities))
