"""Finds the data of images in a file of boxes (ISO/IEC 14496-12), such as an AVIF or a HEIC."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distill.core.errors import ImageError

MAX_BOXES = 10_000
# Bytes before the first child.
PARENTS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"meta": 4, b"iprp": 0, b"ipco": 0}
SAMPLE_TABLES = (b"stco", b"co64", b"stsz")


@dataclass(frozen=True)
class Box:
    """A box's type, and where its body starts and ends in the file."""

    type: bytes
    start: int
    end: int


def boxes(content: bytes) -> Iterator[Box]:
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
        yield Box(type_, body, close)
        stack.append((close, end))
        if type_ in PARENTS:
            stack.append((body + PARENTS[type_], close))


def payloads(content: bytes, boxes: list[Box], kinds: Sequence[bytes], tracks: bool) -> Iterator[bytes]:
    """The data of each image item of these kinds and, with `tracks`, of the first frame of each track."""
    images = {item for box in boxes if box.type == b"iinf" for item in _image_items(content, box, kinds)}
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
    if not tracks:
        return
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


def _image_items(content: bytes, box: Box, kinds: Sequence[bytes]) -> Iterator[int]:
    """The numbers of the items that are images of these kinds."""
    at = box.start + (6 if content[box.start] == 0 else 8)
    while at + 8 <= box.end:
        size, type_ = struct.unpack_from(">I4s", content, at)
        version = content[at + 8]
        item, _, kind = struct.unpack_from(">HH4s" if version < 3 else ">IH4s", content, at + 12)
        if type_ == b"infe" and kind in kinds:
            yield item
        at += max(size, 8)


def _locations(content: bytes, box: Box) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Each item's number, whether its data lies in the box "idat", and where: (offset, size) of each piece."""
    reader = Reader(content[box.start : box.end])
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


class Reader:
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
