"""How large the images are that a time is a time of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from bench.report.types import ImageSizes
from distill.data.dataset import Example


def image_sizes(examples: Sequence[Example]) -> ImageSizes | None:
    """Medians over the examples that have an image; None if none has."""
    sides, sizes = [], []
    for source in (example.image for example in examples if example.image is not None):
        content = source.read_bytes() if isinstance(source, Path) else source
        with Image.open(BytesIO(content)) as image:
            sides.append(max(image.size))
        sizes.append(len(content) / 1e3)
    return ImageSizes(statistics.median(sides), statistics.median(sizes)) if sides else None
