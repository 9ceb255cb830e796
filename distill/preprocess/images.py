"""Converts images to pixels: opens them by content within limits, turns them upright, puts them on white, resizes.

The limits hold for what is decoded, whatever a header says: `image_limits` looks at each file first.

Training and serving call the same functions, so that a model sees the same pixels on a device as in training.
"""

from __future__ import annotations

import io
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from distill.core.errors import ImageError, InstallError, RecipeError
from distill.core.extras import require
from distill.preprocess.flatten import to_rgb, without_pillow_warnings
from distill.preprocess.image_limits import avif, heic, jpeg, tiff
from distill.preprocess.image_limits.kinds import describe

MAX_PIXELS = 100_000_000  # 10,000 x 10,000; a larger image is a mistake or an attack
MAX_SIDE = 65_535  # pixels, as in a JPEG; resizing takes memory by the longer side
MAX_BYTES = 500_000_000  # of a file; what 10,000 x 10,000 pixels take uncompressed, and more
MAX_RLE_PIXELS = 1_000_000  # of a run-length coded BMP, which Pillow decodes in Python
RLE = (1, 2)  # a BMP's compressions of runs
# Few formats: each parser can be attacked, and Pillow's EPS parser runs Ghostscript. Older Pillows lack AVIF.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
MAX_SIZE = 1024  # pixels, of a model's input

ImageSource = Path | bytes | Image.Image  # a file, a file's content, or an opened image


@dataclass(frozen=True)
class ImageSpec:
    """How an image becomes a model's input: `size` in pixels; `fit` "squash" scales both sides to it, "crop" cuts
    out the middle; `mean` and `std` per RGB channel, for values in [0, 1]."""

    size: int
    fit: Literal["squash", "crop"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_SIZE:
            raise RecipeError(f"preprocess.image.size must be 1 to {MAX_SIZE} pixels, got {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise RecipeError(
                    f"preprocess.image.{name} must be 3 finite numbers, got {len(values)}: {values[:3]}"
                )
        if min(self.std) <= 0:
            raise RecipeError(f"preprocess.image.std must be > 0, got {min(self.std)}")


def open_image(source: Path | bytes, name: str | None = None, max_pixels: int | None = None) -> Image.Image:
    """Open an image of at most `max_pixels` (default MAX_PIXELS) by its content, whatever its suffix, without
    decoding it. Errors call it `name`. Raises ImageError."""
    name = name or (str(source) if isinstance(source, Path) else "image")
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        content = _read(source) if isinstance(source, Path) else source
        _check_content(content, limit)
        with without_pillow_warnings():
            image = (
                _open_heic(content) if heic.is_heic(content) else Image.open(io.BytesIO(content), formats=FORMATS)
            )
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such image") from error
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: a Pillow without AVIF
        raise ImageError(
            f"{name}: not an image in a supported format ({', '.join(FORMATS)}); {describe(content)}"
        ) from error
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # parsers raise any kind of error
        raise ImageError(f"{name}: cannot be opened as an image: {_reason(error)}") from error
    try:
        _check_size(image, limit)
    except ImageError as error:
        image.close()
        raise ImageError(f"{name}: {error}") from error
    return image


def _open_heic(content: bytes) -> Image.Image:
    """As Image.open, which knows no HEIC, without a place for it in Pillow's registry."""
    opened: Image.Image = _heif_plugin().HeifImageFile(io.BytesIO(content))
    return opened


def _heif_plugin() -> Any:
    """The package that decodes HEIC. Raises ImageError where it is not installed."""
    try:
        return require("pillow_heif", "a HEIC", "heic")
    except InstallError as error:
        raise ImageError(f"{error}, or save it as JPEG") from error


def _read(path: Path) -> bytes:
    """The whole file, so that what is looked at is what is decoded. Raises ImageError and OSError."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is not a plain file")  # reading a FIFO would never end
    if status.st_size > MAX_BYTES:
        raise ImageError(f"{status.st_size:,} bytes, over the limit of {MAX_BYTES:,} for an image; resize it")
    with path.open("rb", buffering=0) as file:
        return file.read(status.st_size)


def _check_content(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for a file that would take more time or memory than its size says."""
    if content.startswith(jpeg.STARTS):
        jpeg.check(content, max_pixels)
    elif content.startswith(tiff.STARTS):
        tiff.check(content, max_pixels)
    elif heic.is_heic(content):
        _heif_plugin()
        heic.check(content, max_pixels)
    elif content[4:8] == b"ftyp" and content[8:12] in avif.BRANDS:
        avif.check(content, max_pixels)


def _check_size(image: Image.Image, max_pixels: int) -> None:
    size = f"{image.width} x {image.height} pixels"
    if image.format == "BMP" and image.info.get("compression") in RLE:
        max_pixels = min(max_pixels, MAX_RLE_PIXELS)
        size += " in run-length coding"
    if image.width * image.height > max_pixels:
        raise ImageError(f"{size}, over the limit of {max_pixels:,}; resize it")
    if max(image.size) > MAX_SIDE:
        raise ImageError(f"{size}, over the limit of {MAX_SIDE:,} for one side; resize it")


def image_to_uint8(
    source: ImageSource, spec: ImageSpec, name: str | None = None, max_pixels: int | None = None
) -> NDArray[np.uint8]:
    """Decode, turn upright, put on white and resize: uint8 (size, size, 3), RGB. `max_pixels` is as in
    `open_image`. Raises ImageError."""
    return to_pixels(decode_rgb(source, spec.size, name, max_pixels), spec)


def decode(source: ImageSource, spec: ImageSpec, name: str | None = None) -> Image.Image:
    """The first half of `image_to_uint8`: upright RGB on white, not yet resized. Raises ImageError."""
    return decode_rgb(source, spec.size, name)


def decode_rgb(
    source: ImageSource, side: int, name: str | None = None, max_pixels: int | None = None
) -> Image.Image:
    """Decode to upright RGB on white. `max_pixels` is as in `open_image`. Raises ImageError.

    A JPEG is decoded at its smallest scale that has at least `side` pixels in both directions (Pillow's draft
    mode), several times faster than at full size.
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    try:
        if isinstance(source, Image.Image):
            return to_rgb(source)
        with open_image(source, name, max_pixels) as image, without_pillow_warnings():
            image.draft("RGB", (side, side))
            return to_rgb(image)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name}: takes more memory than there is; resize it") from error
    except Exception as error:  # decoders raise any kind of error
        raise ImageError(f"{name}: the image is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def to_pixels(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """The second half of `image_to_uint8`: resize an RGB image to uint8 (size, size, 3)."""
    return np.asarray(_to_square(image, spec), dtype=np.uint8)


def _to_square(image: Image.Image, spec: ImageSpec) -> Image.Image:
    side = (spec.size, spec.size)
    if spec.fit == "crop":
        return ImageOps.fit(image, side, Image.Resampling.BILINEAR)
    return image.resize(side, Image.Resampling.BILINEAR)


def normalise(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W), (x / 255 - mean) / std per channel."""
    scale = (1.0 / (255.0 * np.asarray(spec.std))).astype(np.float32)
    shift = (-np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
    return np.ascontiguousarray((pixels * scale + shift).transpose(0, 3, 1, 2), dtype=np.float32)
