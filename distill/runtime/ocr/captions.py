"""Missing texts of examples, read off their images. Knows examples, not how an image is read or answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from distill.core.errors import ImageError
from distill.data.sources import Fault, Item
from distill.preprocess.text import has_text


class Captions:
    """Items on their way to a predictor, and what was read for each, in the same order."""

    def __init__(self, read: Callable[[Path | bytes], str]) -> None:
        self.read = read
        self._waiting: deque[str | None] = deque()

    def fill(self, items: Iterable[Item]) -> Iterator[Item]:
        """Every item, with a text where it had an image alone and there is one to be read."""
        for item in items:
            text = self._text(item)
            self._waiting.append(text)
            yield replace(item, text=text) if text and not isinstance(item, Fault) else item

    def next(self) -> str | None:
        """What was read for the next item, "" where its image holds no text; None where nothing was read."""
        return self._waiting.popleft()

    def _text(self, item: Item) -> str | None:
        if isinstance(item, Fault) or has_text(item.text) or not isinstance(item.image, Path | bytes):
            return None
        try:
            return self.read(item.image)
        except ImageError:  # the predictor says so, where it cannot open it either
            return None
