"""Finds how large the AV1 frames of an AVIF are: its header may say anything, and the decoder believes the frames.

An AVIF is a tree of boxes (ISO/IEC 14496-12) around AV1 data units (AV1 specification, sections 5.3 to 5.5). Each
image item, and the first frame of each track, is found and its sequence headers are read.
"""

from __future__ import annotations

import math
import struct

from distill.core.errors import ImageError
from distill.preprocess.image_limits.boxes import Reader, boxes, payloads

BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
MAX_FRAMES = 8  # of one image, which has one, or a few layers; each is decoded at full size
SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6  # types of AV1 data units


def check(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for an AVIF whose frames are larger or more than `max_pixels` allows."""
    read = parts = total = 0
    try:
        for payload in payloads(content, list(boxes(content)), (b"av01",), tracks=True):
            parts, read = parts + 1, read + len(payload)
            if read > 2 * len(content):
                raise ImageError("its images share one place in the file; save it again")
            total += _largest_frame(payload, max_pixels)
    except (struct.error, IndexError, OverflowError) as error:
        raise ImageError("its boxes are cut off") from error
    if not parts:
        raise ImageError("it holds no AV1 image, as an AVIF does; save it as JPEG or PNG")
    if total > 2 * max_pixels:  # the tiles of a grid, twice: its transparency is an image of its own
        raise ImageError(f"{total:,} pixels in {parts} parts, over twice the limit of {max_pixels:,}; resize it")


def _largest_frame(payload: bytes, max_pixels: int) -> int:
    """The pixels of the largest frame that this AV1 data may hold. Raises ImageError."""
    sizes, frames = _frames(payload)
    if frames > MAX_FRAMES:
        raise ImageError(f"more than {MAX_FRAMES} frames in one image, the limit for an AVIF; save it again")
    if not sizes:
        raise ImageError("one of its images does not say its size; save it again")
    width, height = max(sizes, key=math.prod)
    if width * height > max_pixels:
        raise ImageError(
            f"frames of up to {width} x {height} pixels, over the limit of {max_pixels:,}; "
            "resize it, or save it as a still image"
        )
    return width * height


def _frames(payload: bytes) -> tuple[list[tuple[int, int]], int]:
    """The largest frame of each sequence header in AV1 data, and the number of frames."""
    sizes, frames, at = [], 0, 0
    while at < len(payload):
        head = payload[at]
        at += 2 if head & 4 else 1  # an extension is one byte
        size = len(payload) - at
        if head & 2:
            size = 0
            for place in range(8):
                byte, at = payload[at], at + 1
                size |= (byte & 127) << 7 * place
                if byte < 128:
                    break
        kind = head >> 3 & 15
        if kind == SEQUENCE_HEADER:
            sizes.append(_frame_size(Reader(payload[at : at + min(size, 1000)])))
        frames += kind in (FRAME_HEADER, FRAME)
        at += size
    return sizes, frames


def _frame_size(reader: Reader) -> tuple[int, int]:
    """The largest width and height that frames may have after this sequence header (section 5.5.1).

    A still image's frame has the size that is given here; others may have any that their bits can hold.
    """
    reader.take(4)  # profile, still
    reduced = reader.take(1)
    if reduced:
        reader.take(5)
    else:
        _skip_operating_points(reader)
    width_bits, height_bits = reader.take(4) + 1, reader.take(4) + 1
    width, height = reader.take(width_bits) + 1, reader.take(height_bits) + 1
    return (width, height) if reduced else (1 << width_bits, 1 << height_bits)


def _skip_operating_points(reader: Reader) -> None:
    delay_bits = 0
    if reader.take(1):  # timing
        reader.take(64)
        if reader.take(1):
            zeros = 0
            while not reader.take(1):
                zeros += 1
            reader.take(zeros)
        if reader.take(1):  # model of a decoder
            delay_bits = reader.take(5) + 1
            reader.take(42)
    delays = reader.take(1)
    for _ in range(reader.take(5) + 1):
        reader.take(12)
        if reader.take(5) > 7:
            reader.take(1)
        if delay_bits and reader.take(1):
            reader.take(2 * delay_bits + 1)
        if delays and reader.take(1):
            reader.take(4)
