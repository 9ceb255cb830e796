"""What is known of an image once it was decoded: its content's hash, format and size, and what it looks like."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import ImageError
from distill.core.output.terminal import track
from distill.core.storage.files import sha256_of
from distill.core.untrusted import short_repr
from distill.data.dataset import Example
from distill.preprocess.images import ImageSpec, image_to_uint8, open_image

SIDE = 32
# Every image is decoded once, small: a JPEG is read to its end all the same.
SPEC = ImageSpec(size=SIDE, fit="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
FREQUENCIES = np.arange(1, 9)  # the lowest of the cosine transform, without the mean
COSINES = np.cos(np.pi / (2 * SIDE) * np.outer(FREQUENCIES, 2 * np.arange(SIDE) + 1))
FLAT = 2.0  # levels; what deviates less from its mean shows nothing that a hash could tell apart
CELLS = 4  # a side
MEMORY = 1 << 17  # files whose facts are kept, about 500 bytes each


@dataclass(frozen=True)
class Look:
    """`bits` is a perceptual hash of 64 bits, `colours` the mean of each of 4 x 4 cells, in RGB: 48 bytes."""

    bits: int
    colours: bytes


@dataclass(frozen=True)
class ImageFacts:
    """`sha256` is of the content, `width` and `height` in pixels; `look` is None for an image of one colour."""

    sha256: str
    format: str
    width: int
    height: int
    look: Look | None


def image_hash(image: Path | bytes) -> str:
    """Hex SHA-256 of an image file, or of the content of one. Raises ImageError if it cannot be read."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    try:
        return sha256_of(image)
    except OSError as error:
        raise ImageError(f"{image}: cannot be read: {error.strerror}") from error


def image_facts(image: Path | bytes) -> ImageFacts:
    """Decode an image; a file that has not changed since is decoded once in a process. Raises ImageError."""
    if isinstance(image, bytes):
        return _decoded(image, "image")
    try:
        status = image.stat()
    except OSError:
        return _decoded(image, str(image))
    return _facts_of_file(image, status.st_size, status.st_mtime_ns)


@functools.lru_cache(MEMORY)
def _facts_of_file(path: Path, size_bytes: int, changed_ns: int) -> ImageFacts:
    return _decoded(path, str(path))


def _decoded(image: Path | bytes, name: str) -> ImageFacts:
    with open_image(image, name) as opened:
        kind, (width, height) = str(opened.format), opened.size
    return ImageFacts(image_hash(image), kind, width, height, look_of(image_to_uint8(image, SPEC, name)))


def look_of(pixels: NDArray[np.uint8]) -> Look | None:
    """The look of pixels uint8 (32, 32, 3); None for those of one colour.

    The hash is that of Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section
    3.2.1: the discrete cosine transform of the grey image, its 8 x 8 lowest frequencies, and of each whether it is
    above their median.
    """
    grey = pixels @ LUMA
    cell = SIDE // CELLS
    colours = pixels.reshape(CELLS, cell, CELLS, cell, 3).mean((1, 3)).round().astype(np.uint8)
    if grey.std() < FLAT:
        return None
    waves = (COSINES @ grey @ COSINES.T).ravel()
    bits = int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")
    return Look(bits, colours.tobytes())


def read_facts(images: Sequence[Path | bytes | None]) -> list[ImageFacts | ImageError | None]:
    """The facts of each image, or the error of one that cannot be read."""
    facts: list[ImageFacts | ImageError | None] = []
    for image in track(images, "checking images", len(images)):
        try:
            facts.append(None if image is None else image_facts(image))
        except ImageError as error:
            facts.append(error)
    return facts


def facts_of(rows: Sequence[tuple[str, Example]]) -> tuple[list[ImageFacts | None], list[str]]:
    """The facts of each row's image, None where it has none or none that can be read, and the faults of the
    latter. `rows` are (name of the split, example)."""
    read = read_facts([example.image for _, example in rows])
    broken = [
        f"{short_repr(example.id)} ({split}): {fact}"
        for (split, example), fact in zip(rows, read, strict=True)
        if isinstance(fact, ImageError)
    ]
    return [fact if isinstance(fact, ImageFacts) else None for fact in read], broken
