"""An opened image to upright RGB on white, whatever its mode. Knows Pillow's modes, no files.

Every pixel's value depends on that pixel alone, so a large image is worked on in bands: its intermediate forms,
which take up to 16 bytes a pixel, never exist as a whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BAND_PIXELS = 4_000_000
ORIENTATION = 0x0112  # the EXIF tag
EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """Raises whatever Pillow's decoder stumbles over, and ValueError for pixels that are not finite."""
    image.load()
    turn = EXIF_TRANSPOSE.get(_orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit and float greys would be clipped
        return _grey(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Without Pillow's warnings of odd tags and large images: what matters of them becomes an error here.

    The filters are the process's own, so threads can leave one behind that mutes Pillow and nothing else.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1, as it is stored, where the image does not say or what it says cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - parsers of metadata raise anything, and the image itself is whole
        return 1
    return value if isinstance(value, int) else 1


def _grey(image: Image.Image) -> Image.Image:
    largest = 0.0
    for _, band in _bands(image):
        values = _values(band)
        if not np.isfinite(values).all():
            raise ValueError("it holds pixels that are not finite numbers")
        largest = max(largest, values.max(initial=0))
    top = 65535.0 if largest > 255 else 255.0
    grey = Image.new("L", image.size)
    for place, band in _bands(image):
        pixels = (_values(band).clip(0, top) * (255.0 / top)).astype(np.uint8)
        grey.paste(Image.fromarray(pixels), (0, place))
    return grey.convert("RGB")


def _values(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size)
    for place, band in _bands(image):
        layer = band.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        flat.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, place))
    return flat


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, those rows) from top to bottom; a small image in one piece."""
    rows = max(1, BAND_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for place in range(0, image.height, rows):
        yield place, image.crop((0, place, image.width, min(place + rows, image.height)))
