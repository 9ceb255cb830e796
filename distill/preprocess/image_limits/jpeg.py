"""Counts what a JPEG makes its decoder do: each scan goes over all pixels again, and may be a few bytes long."""

from __future__ import annotations

import re

from distill.core.errors import ImageError

STARTS = b"\xff\xd8\xff"
# libjpeg writes 10 scans for a progressive JPEG in colour and 18 for CMYK; encoders that search write about 20.
MAX_SCANS = 50
MAX_SEGMENTS = 5000  # metadata in segments of 64 kB: a file of 300 MB full of them has fewer
BEGIN, END, SCAN = 0xD8, 0xD9, 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # C4, C8 and CC are tables and reserved
# A marker with a segment, the end, or another start. Stuffed zeros and restarts (D0 to D7) belong to the pixels.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")


def check(content: bytes, max_pixels: int) -> None:
    """Raise ImageError for a JPEG of too many scans or segments, or one that gives its size twice.

    The file is read as libjpeg reads it, which decides what is decoded.
    """
    scans = segments = frames = 0
    at = 2
    while found := _MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker in (BEGIN, END):
            break  # libjpeg refuses a second start, and ends at the end
        segments += 1
        scans += marker == SCAN
        if marker in FRAMES:
            frames += 1
            height, width = (int.from_bytes(content[at + place : at + place + 2], "big") for place in (3, 5))
            if frames > 1:
                raise ImageError("it gives its size twice; save it again")
            if width * height > max_pixels:
                raise ImageError(f"{width} x {height} pixels, over the limit of {max_pixels:,}; resize it")
        if scans > MAX_SCANS:
            raise ImageError(f"more than {MAX_SCANS} scans, the limit for a JPEG; save it again")
        if segments > MAX_SEGMENTS:
            raise ImageError(f"more than {MAX_SEGMENTS:,} segments, the limit for a JPEG; save it again")
        at += max(2, int.from_bytes(content[at : at + 2], "big"))
