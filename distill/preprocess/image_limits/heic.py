"""Finds how large the HEVC pictures of a HEIC are: its header may say anything, and the decoder believes them.

A HEIC is a tree of boxes around HEVC data units (ITU-T H.265, section 7.3). The size of a picture stands in its
sequence parameter sets, in a box "hvcC" or among the data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from distill.core.errors import ImageError
from distill.preprocess.image_limits.boxes import Box, Reader, boxes, payloads

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
EITHER_BRANDS = (b"mif1", b"msf1")  # of a HEIC or an AVIF
KINDS = (b"hvc1", b"hev1")
PARAMETER_SET = 33  # the type of data unit that says the size
MAX_TILES = 4096  # of one picture; a phone's has about 50
PROFILE_BITS, LEVEL_BITS = 88, 8


def is_heic(content: bytes) -> bool:
    """Whether a file is a HEIC, by its brands."""
    if content[4:8] != b"ftyp":
        return False
    brand, size = content[8:12], int.from_bytes(content[:4], "big")
    others = content[16 : min(size, 256)]
    return brand in BRANDS or (brand in EITHER_BRANDS and b"avif" not in others and b"avis" not in others)


def check(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for a HEIC whose pictures are larger or more than `max_pixels` allows."""
    try:
        found = list(boxes(content))
        sizes = [size for box in found if box.type == b"hvcC" for size in _sizes_of_box(content, box)]
        pictures = read = 0
        for payload in payloads(content, found, KINDS, tracks=False):
            pictures, read = pictures + 1, read + len(payload)
            if read > 2 * len(content):
                raise ImageError("its pictures share one place in the file; save it again")
            sizes += [_picture_size(unit) for unit in _units(payload) if _is_parameter_set(unit)]
    except (struct.error, IndexError, OverflowError) as error:
        raise ImageError("its boxes are cut off") from error
    if not pictures or not sizes:
        raise ImageError("it holds no HEVC picture, as a HEIC does; save it as JPEG or PNG")
    if pictures > MAX_TILES:
        raise ImageError(f"{pictures:,} pictures in one image, over the limit of {MAX_TILES:,}; save it again")
    width, height = max(sizes, key=math.prod)
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} pixels, over the limit of {max_pixels:,}; resize it")
    if pictures * width * height > 4 * max_pixels:  # with thumbnail, depth and brightness, each of full size
        raise ImageError(
            f"{pictures} pictures of up to {width} x {height} pixels, over four times the limit of "
            f"{max_pixels:,}; resize it"
        )


def _sizes_of_box(content: bytes, box: Box) -> Iterator[tuple[int, int]]:
    """The sizes in the sequence parameter sets of a box "hvcC"."""
    at = box.start + 22
    arrays, at = content[at], at + 1
    for _ in range(arrays):
        (count,) = struct.unpack_from(">H", content, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", content, at)
            unit = content[at + 2 : at + 2 + size]
            if _is_parameter_set(unit):
                yield _picture_size(unit)
            at += 2 + size
        if at > box.end:
            raise IndexError


def _units(payload: bytes) -> Iterator[bytes]:
    """The data units of a picture, each behind its length in four bytes."""
    at = 0
    while at + 4 < len(payload):
        (size,) = struct.unpack_from(">I", payload, at)
        yield payload[at + 4 : at + 4 + min(size, 1000)]  # enough for what is read of one
        at += 4 + size


def _is_parameter_set(unit: bytes) -> bool:
    return len(unit) > 2 and unit[0] >> 1 & 63 == PARAMETER_SET


def _picture_size(unit: bytes) -> tuple[int, int]:
    """Width and height of the pictures of a sequence parameter set. Raises IndexError where it is cut off."""
    reader = Reader(unit[2:1000].replace(b"\x00\x00\x03", b"\x00\x00"))
    reader.take(4)
    layers = reader.take(3)
    reader.take(1 + PROFILE_BITS + LEVEL_BITS)
    present = [(reader.take(1), reader.take(1)) for _ in range(layers)]
    reader.take(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in present:
        reader.take(PROFILE_BITS * has_profile + LEVEL_BITS * has_level)
    _exponential(reader)
    if _exponential(reader) == 3:  # colours in full resolution
        reader.take(1)
    return _exponential(reader), _exponential(reader)


def _exponential(reader: Reader) -> int:
    """A number in Exp-Golomb code."""
    zeros = 0
    while not reader.take(1):
        zeros += 1
        if zeros > 32:
            raise IndexError
    return (1 << zeros) - 1 + reader.take(zeros)
