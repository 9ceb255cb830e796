"""What predict is asked for, row by row; nothing here reads a file, so that a device imports no reader."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from distill.core.untrusted import replace_surrogates
from distill.data.examples import Example


@dataclass(frozen=True)
class FailedRow:
    """A row that cannot be read: its id, or its number if it has none, and the error. Both can be encoded as
    UTF-8."""

    id: str
    error: str

    def __post_init__(self) -> None:
        for name in ("id", "error"):  # a file name may hold bytes that are not text
            object.__setattr__(self, name, replace_surrogates(getattr(self, name)))


@dataclass(frozen=True)
class InMemoryExample:
    """An example whose image is in memory, opened or as the bytes of a file; errors call the image `name`."""

    id: str
    text: str
    image: bytes | Image.Image
    name: str


Item = Example | InMemoryExample | FailedRow
