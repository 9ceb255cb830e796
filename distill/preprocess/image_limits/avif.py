"""Finds how large the AV1 frames of an AVIF are: its header may say anything, and the decoder believes the frames.

An AVIF is a tree of boxes (ISO/IEC 14496-12) around AV1 data units (AV1 specification, sections 5.3 to 5.5). Each
image item, and the first frame of each track, is found and its sequence headers are read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from distill.core.errors import ImageError

BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
MAX_FRAMES = 8  # of one image, which has one, or a few layers; each is decoded at full size
MAX_BOXES = 10_000
SEQUENCE_HEADER, FRAME_HEADER, FRAME = 1, 3, 6  # types of AV1 data units
PARENTS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"meta": 4}  # bytes before the first child
SAMPLE_TABLES = (b"stco", b"co64", b"stsz")


@dataclass(frozen=True)
class _Box:
    """A box's type, and where its body starts and ends in the file."""

    type: bytes
    start: int
    end: int


def check(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for an AVIF whose frames are larger or more than `max_pixels` allows."""
    read = parts = total = 0
    try:
        for payload in _payloads(content, list(_boxes(content))):
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


def _boxes(content: bytes) -> Iterator[_Box]:
    """Every box, and those within PARENTS, in order."""
    stack, count = [(0, len(content))], 0
    while stack:
        at, end = stack.pop()
        if at + 8 > end:
            continue
        size, type_ = struct.unpack_from(">I4s", content, at)
        body = at + 8
        if size == 1:
            (size,), body = struct.unpack_from(">Q", content, body), body + 8
        size = size or end - at
        count += 1
        if size < body - at or count > MAX_BOXES:
            raise ImageError("its boxes cannot be read")
        close = min(at + size, end)
        yield _Box(type_, body, close)
        stack.append((close, end))
        if type_ in PARENTS:
            stack.append((body + PARENTS[type_], close))


def _payloads(content: bytes, boxes: list[_Box]) -> Iterator[bytes]:
    """The AV1 data of each image item, and of the first frame of each track."""
    images = {item for box in boxes if box.type == b"iinf" for item in _image_items(content, box)}
    inner = next((box.start for box in boxes if box.type == b"idat"), 0)
    for box in boxes:
        if box.type == b"iloc":
            for item, within, extents in _locations(content, box):
                if item not in images:
                    continue
                if sum(size for _, size in extents) > len(content):
                    raise ImageError("its images are longer than the file; copy it again")
                starts = ((at + inner * within, size) for at, size in extents)
                yield b"".join(content[at : at + size] for at, size in starts)
    tables = [box for box in boxes if box.type in SAMPLE_TABLES]
    places = [box for box in tables if box.type != b"stsz"]
    sizes = [box for box in tables if box.type == b"stsz"]
    for place, sized in zip(places, sizes, strict=False):
        wide = place.type == b"co64"
        (at,) = struct.unpack_from(">Q" if wide else ">I", content, place.start + 8)
        (every,) = struct.unpack_from(">I", content, sized.start + 4)
        size = every or struct.unpack_from(">I", content, sized.start + 12)[0]
        yield content[at : at + size]
    if len(places) != len(sizes):
        raise ImageError("its tracks cannot be read")


def _image_items(content: bytes, box: _Box) -> Iterator[int]:
    """The numbers of the items that are AV1 images."""
    at = box.start + (6 if content[box.start] == 0 else 8)
    while at + 8 <= box.end:
        size, type_ = struct.unpack_from(">I4s", content, at)
        version = content[at + 8]
        item, _, kind = struct.unpack_from(">HH4s" if version < 3 else ">IH4s", content, at + 12)
        if type_ == b"infe" and kind == b"av01":
            yield item
        at += max(size, 8)


def _locations(content: bytes, box: _Box) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Each item's number, whether its data lies in the box "idat", and where: (offset, size) of each piece."""
    reader = _Reader(content[box.start : box.end])
    version = reader.take(8)
    reader.take(24)
    offset_size, length_size, base_size, index_size = (8 * reader.take(4) for _ in range(4))
    index_size = index_size if version else 0
    for _ in range(reader.take(32 if version == 2 else 16)):
        item = reader.take(32 if version == 2 else 16)
        method = reader.take(16) & 15 if version else 0
        reader.take(16)
        base = reader.take(base_size)
        extents = []
        for _ in range(reader.take(16)):
            reader.take(index_size)
            extents.append((base + reader.take(offset_size), reader.take(length_size)))
        if any(size == 0 for _, size in extents) or method > 1:
            raise ImageError("it does not say how long its images are; save it again")
        yield item, method == 1, extents


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
            sizes.append(_frame_size(_Reader(payload[at : at + min(size, 1000)])))
        frames += kind in (FRAME_HEADER, FRAME)
        at += size
    return sizes, frames


def _frame_size(reader: _Reader) -> tuple[int, int]:
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


def _skip_operating_points(reader: _Reader) -> None:
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


class _Reader:
    """Takes bits from the front of bytes. Raises IndexError at their end."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, bits: int) -> int:
        """The next `bits` bits as a number."""
        first, self._at = self._at, self._at + bits
        if self._at > 8 * len(self._content):
            raise IndexError
        piece = self._content[first // 8 : (self._at + 7) // 8]
        return int.from_bytes(piece, "big") >> -self._at % 8 & (1 << bits) - 1
