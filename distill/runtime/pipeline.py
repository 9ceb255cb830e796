"""The way of a post through a model: decoded, tokenised and run by one worker, alone or in a batch.

A post that runs alone has an answer of its own. In a batch, int8 products whose ranges are measured at run time
measure those of the whole batch, and other products may be summed in another order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from distill.core.errors import ImageError
from distill.core.machine.cores import MAX_BATCH, default_threads
from distill.data.examples import Example
from distill.data.groups import GroupColumns
from distill.data.items import FailedRow, InMemoryExample, Item
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.pool import WorkerPool
from distill.scoring.probabilities import to_probabilities

CHUNK_SIZE = MAX_BATCH  # examples of which those of like length share a batch
LogitsFunction = Callable[[ModelInputs], NDArray[np.float32]]  # returns float32 (B, L)
NOTHING: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
Answer = tuple[Item, NDArray[np.float32]]  # an item and its probabilities (L,), or a FailedRow and (0,)


class _Post(NamedTuple):
    """An item, and its image if that is decoded already."""

    item: Item
    image: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Pipeline:
    """A model with its preprocessing; `batch` posts run together."""

    logits: LogitsFunction
    preprocessor: Preprocessor
    groups: GroupColumns
    batch: int = 1

    def run(self, items: Iterable[Item], pool: WorkerPool) -> Iterator[Answer]:
        """Yield every item with its probabilities, in order; a FailedRow for an image that cannot be read. Raises
        BundleError when the tokenizer fails, and what `logits` raises."""
        posts = map(self._take, items)
        if self.batch == 1:
            yield from pool.map(self._answer_one, posts)
            return
        while chunk := list(itertools.islice(posts, CHUNK_SIZE)):
            # Like lengths together: little padding.
            order = sorted(range(len(chunk)), key=lambda place: _length(chunk[place].item))
            batches = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
            answers = pool.map(self._answer, ([chunk[place] for place in batch] for batch in batches))
            by_place = dict(zip(order, itertools.chain.from_iterable(answers), strict=True))
            yield from (by_place[place] for place in range(len(chunk)))

    def _take(self, item: Item) -> _Post:
        """Decode what may change when the next row is asked for: who yields rows may use one buffer for all."""
        opened = isinstance(item, InMemoryExample) and isinstance(item.image, Image.Image)
        return self._decode(_Post(item, None)) if opened else _Post(item, None)

    def _decode(self, post: _Post) -> _Post:
        item = post.item
        if isinstance(item, FailedRow) or post.image is not None:
            return post
        try:
            name = item.name if isinstance(item, InMemoryExample) else None
            return _Post(item, self.preprocessor.image(item.image, name))
        except ImageError as error:
            return _Post(FailedRow(item.id, str(error)), None)

    def _answer_one(self, post: _Post) -> Answer:
        return self._answer([post])[0]

    def _answer(self, posts: Sequence[_Post]) -> list[Answer]:
        """A worker's turn."""
        posts = [self._decode(post) for post in posts]
        readable = [(post.item.text, post.image) for post in posts if not isinstance(post.item, FailedRow)]
        if not readable:
            return [(post.item, NOTHING) for post in posts]
        texts, images = zip(*readable, strict=True)
        batch = self.preprocessor.batch(self.preprocessor.rows(texts, images))
        rows = iter(to_probabilities(self.logits(batch), self.groups))
        return [(post.item, NOTHING if isinstance(post.item, FailedRow) else next(rows)) for post in posts]


def predict_probabilities(
    pipeline: Pipeline, examples: Sequence[Example], pool: WorkerPool | None = None
) -> NDArray[np.float32]:
    """float32 (N, L), in order, N >= 1, by default with a worker for each core. Raises ImageError for the first
    image that cannot be read, and as `Pipeline.run`."""
    rows = []
    for item, probabilities in pipeline.run(examples, pool or WorkerPool(default_threads())):
        if isinstance(item, FailedRow):
            raise ImageError(item.error)
        rows.append(probabilities)
    return np.stack(rows)


def _length(item: Item) -> int:
    return 0 if isinstance(item, FailedRow) else len(item.text)
