"""Measures the tiles or strips of a TIFF: libtiff decodes each as a whole, however small the image is."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from distill.core.errors import ImageError

STARTS = (b"II*\x00", b"MM\x00*", b"II\x00*", b"MM*\x00", b"II+\x00", b"MM\x00+")
MAX_CHUNKS = 100_000  # tiles or strips; an image of 10,000 x 10,000 in rows has 10,000, or 30,000 by planes
WIDTH, HEIGHT, COMPRESSION, SAMPLES, ROWS, PLANAR = 256, 257, 259, 277, 278, 284
TILE_WIDTH, TILE_HEIGHT = 322, 323
OFFSETS, BYTES = (273, 324), (279, 325)
OLD_JPEG = 6  # of which no bound on scans is known
LAST_BASIC_TAG = 600  # where the image's own structure ends and metadata begins
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class _Entry:
    """A tag's type, how many values it has, and its value where that is one integer of 1 to 8 bytes."""

    type: int
    count: int
    value: int | None


def check(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for a TIFF whose tiles, strips or tags take more than its size says."""
    entries = _read_directory(content)
    width, height = _integer(entries, WIDTH), _integer(entries, HEIGHT)
    across, down = width, min(_integer(entries, ROWS, height), height)
    if TILE_WIDTH in entries or TILE_HEIGHT in entries:
        across, down = _integer(entries, TILE_WIDTH), _integer(entries, TILE_HEIGHT)
    if min(width, height, across, down) < 1:
        raise ImageError("it gives a size of 0; save it again")
    if max(width * height, across * down) > max_pixels:
        tile = f" in pieces of {across} x {down}" if across * down > max_pixels else ""
        raise ImageError(f"{width} x {height} pixels{tile}, over the limit of {max_pixels:,}; resize it")
    planes = _integer(entries, SAMPLES, 1) if _integer(entries, PLANAR, 1) == 2 else 1
    chunks = math.ceil(width / across) * math.ceil(height / down) * planes
    listed = [entries[tag].count for tag in (*OFFSETS, *BYTES) if tag in entries]
    if max(chunks, *listed, 0) > MAX_CHUNKS:
        raise ImageError(f"more than {MAX_CHUNKS:,} tiles or strips, the limit for a TIFF; save it again")
    if _integer(entries, COMPRESSION, 1) == OLD_JPEG:
        raise ImageError("compressed as old-style JPEG, which no TIFF is today; save it again")


def _read_directory(content: bytes) -> dict[int, _Entry]:
    """The first directory. Raises ImageError."""
    order = "<" if content[:2] == b"II" else ">"
    if content[:4] == b"MM\x00+":  # Pillow and libtiff read it in different ways
        raise ImageError("a big-endian BigTIFF is not read; save it as TIFF")
    big = content[2] == 43
    entry, head = (struct.Struct(f"{order}HHQ8s"), 16) if big else (struct.Struct(f"{order}HHI4s"), 8)
    pointer, number = ("Q", "Q") if big else ("I", "H")
    try:
        (start,) = struct.unpack_from(order + pointer, content, head - struct.calcsize(pointer))
        (length,) = struct.unpack_from(order + number, content, start)
        rows = list(entry.iter_unpack(_slice(content, start + struct.calcsize(order + number), length, entry.size)))
    except struct.error as error:
        raise ImageError("its directory is cut off") from error
    entries: dict[int, _Entry] = {}
    total = 0
    for tag, type_, count, raw in rows:
        if tag in entries and tag < LAST_BASIC_TAG:  # libraries differ in which one counts
            raise ImageError(f"it gives tag {tag} twice; save it again")
        size = count * SIZES.get(type_, 0)
        if size > len(raw):
            (at,) = struct.unpack(order + pointer, raw)
            total += min(size, max(0, len(content) - at))
        format_ = INTEGERS.get(type_)
        value = struct.unpack_from(order + format_, raw)[0] if format_ and count == 1 and size <= len(raw) else None
        entries[tag] = _Entry(type_, count, value)
    if total > 2 * len(content):  # a few megabytes could take any memory
        raise ImageError("its tags share one place, and would take more memory than the file has; save it again")
    return entries


def _slice(content: bytes, start: int, length: int, size: int) -> bytes:
    """The bytes of a directory's entries; Pillow reads no more than the file has, and neither do we."""
    whole = min(length, 0xFFFF, max(0, len(content) - start) // size)
    return content[start : start + whole * size]


def _integer(entries: dict[int, _Entry], tag: int, default: int | None = None) -> int:
    if tag not in entries and default is not None:
        return default
    value = entries[tag].value if tag in entries else None
    if value is None:
        raise ImageError(f"its tag {tag} is missing or not one whole number; save it again")
    return value
