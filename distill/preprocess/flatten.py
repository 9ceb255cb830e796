"""Converts any opened image to upright RGB on white.

Each pixel is converted by itself, so large images are processed in bands: intermediate arrays of up to 16 bytes per
pixel never exist for the whole image.
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
    """Upright RGB on white, from an image of any mode. Raises any error of Pillow's decoders, and ValueError for
    pixels that are not finite."""
    image.load()
    turn = EXIF_TRANSPOSE.get(_orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":  # Pillow would clip 16-bit and float greys
        return _grey(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Mute Pillow's warnings of odd tags and large images, which are errors here where they matter.

    Warning filters are global, so threads may leave this one behind; it mutes nothing but Pillow.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (as stored) if it is absent or cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - metadata parsers raise anything, and the image itself is intact
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
    for first_row, band in _bands(image):
        pixels = (_values(band).clip(0, top) * (255.0 / top)).astype(np.uint8)
        grey.paste(Image.fromarray(pixels), (0, first_row))
    return grey.convert("RGB")


def _values(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size)
    for first_row, band in _bands(image):
        layer = band.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        flat.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, first_row))
    return flat


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(number of the first row, band of rows) from top to bottom; a small image is one band."""
    rows = max(1, BAND_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))
