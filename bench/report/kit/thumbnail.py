"""Small images for a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from distill.preprocess.flatten import to_rgb, without_pillow_warnings
from distill.preprocess.images import open_image

SIDE = 320  # pixels; a thumbnail's longer side at most
QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG without metadata, and its size in pixels."""

    jpeg: bytes
    width: int
    height: int

    @property
    def source(self) -> str:
        """For the src of an <img>."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"


def thumbnail(source: Path | bytes, side: int = SIDE) -> Thumbnail:
    """Of an image that was decoded before: it can be decoded. Its longer side has at most `side` pixels."""
    with open_image(source) as opened, without_pillow_warnings():
        opened.draft("RGB", (side, side))
        image = to_rgb(opened)
    image.thumbnail((side, side))
    image.info.clear()  # Pillow would carry comments over
    written = io.BytesIO()
    image.save(written, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(written.getvalue(), image.width, image.height)
