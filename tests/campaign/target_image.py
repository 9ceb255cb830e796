"""Images of every format that is read, and their headers changed."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from campaign.mutate import mutate_bytes, times
from campaign.outcome import Wrong
from campaign.subject import Subject
from distill.preprocess.images import MAX_PIXELS, decode_rgb, open_image

SIDE = 64  # of the model's input
FORMS = {
    "JPEG": [{"quality": 80}, {"progressive": True}, {"quality": 95, "subsampling": 0}],
    "PNG": [{}, {"optimize": True}],
    "GIF": [{}],
    "BMP": [{}],
    "WEBP": [{"lossless": True}, {"quality": 50}],
    "TIFF": [{}, {"compression": "tiff_deflate"}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}],
    "AVIF": [{"speed": 10}],
}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("L", "RGB", "CMYK"),
    "JPEG": ("L", "RGB", "CMYK"),
}
SIZES = (0, 1, 7, 255, 256, 9_999, 10_001, 25_600, 65_535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)
JPEG_SIZE, JPEG_SCAN, JPEG_END = (b"\xff\xc0", b"\xff\xc2"), b"\xff\xda", b"\xff\xd9"
TIFF_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 322, 323, 324, 325, 339)


def seeds(subject: Subject) -> list[bytes]:
    """A small image in every format, mode and compression that Pillow writes."""
    generator = np.random.default_rng(7)
    noise = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    result = []
    for form, options in FORMS.items():
        for mode in MODES.get(form, ("RGB",)):
            for option in options:
                buffer = io.BytesIO()
                source = noise.convert("I").convert("I;16") if mode == "I;16" else noise.convert(mode)
                try:
                    source.save(buffer, format=form, **option)
                except (OSError, KeyError, ValueError):  # this Pillow cannot write it
                    continue
                result.append(buffer.getvalue())
    frames, buffer = [noise, noise.rotate(90), noise], io.BytesIO()
    noise.save(buffer, format="GIF", save_all=True, append_images=frames)
    return [*result, buffer.getvalue(), _tiled_tiff()]


def _tiled_tiff() -> bytes:
    """8 x 8 grey pixels in one tile of 16 x 16, which Pillow reads and does not write."""
    entries = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16, 324: 8, 325: 256}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return (
        struct.pack("<2sHI", b"II", 42, 264) + bytes(256) + struct.pack("<H", len(entries)) + directory + bytes(4)
    )


def opened(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    """Open it within the limits, and decode it as the product does before it resizes."""

    def run(content: bytes) -> None:
        image = decode_rgb(content, SIDE, "image")
        if image.mode != "RGB" or image.width * image.height > MAX_PIXELS:
            raise Wrong("decoded to another mode or size", f"{image.mode}, {image.width} x {image.height}")
        open_image(content, "image").close()

    return run


def mutate(content: bytes, rng: random.Random, most: int) -> bytes:
    """Change a size in a header, repeat a scan or a block, or change bytes; most changes in the first bytes."""
    do = rng.randrange(6)
    if do < 3 and JPEG_SCAN in content:
        return _repeat_scans(content, rng, most)
    if do < 3 and content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_entry(content, rng, most)
    if do < 2:
        return _size(content, rng)
    if do == 3:
        head = rng.choice((16, 64, 200))
        return mutate_bytes(content[:head], rng, most) + content[head:]
    return mutate_bytes(content, rng, most)


def _repeat_scans(content: bytes, rng: random.Random, most: int) -> bytes:
    """The last scan of a JPEG many times over, in a frame of another size."""
    start, end = content.rfind(JPEG_SCAN), content.rfind(JPEG_END)
    if not 0 < start < end:
        return mutate_bytes(content, rng, most)
    scans = content[start:end] * times(rng, most)
    return _size(content[:start], rng) + scans[:most] + content[end:]


def _size(content: bytes, rng: random.Random) -> bytes:
    """Other numbers where a format may hold its size."""
    result = bytearray(content)
    frame = max(content.find(marker) for marker in JPEG_SIZE)
    if frame >= 0 and frame + 9 < len(result):
        struct.pack_into(
            ">HH", result, frame + 5, rng.choice((1, 5000, 10_000, 65_535)), rng.choice((1, 5000, 10_000))
        )
        return bytes(result)
    order, kind = rng.choice("<>"), rng.choice("HI")
    most = 0xFFFF if kind == "H" else 0xFFFFFFFF
    place = rng.randrange(max(1, min(len(result), 400) - 8))
    if place + 8 < len(result):
        for step in (0, struct.calcsize(kind)):
            struct.pack_into(order + kind, result, place + step, min(rng.choice(SIZES), most))
    return bytes(result)


def _tiff_entry(content: bytes, rng: random.Random, most: int) -> bytes:
    """Other values, types, counts or tags in a TIFF's directory."""
    order = "<" if content[:2] == b"II" else ">"
    result = bytearray(content)
    try:
        (place,) = struct.unpack_from(order + "I", result, 4)
        (count,) = struct.unpack_from(order + "H", result, place)
        for _ in range(rng.choice((1, 1, 2, 4))):
            entry = place + 2 + 12 * rng.randrange(count)
            do = rng.randrange(4)
            if do == 0:
                struct.pack_into(order + "H", result, entry, rng.choice(TIFF_TAGS))
            elif do == 1:
                struct.pack_into(order + "I", result, entry + 4, rng.choice((0, 1, 2, 1000, 1 << 30)))
            else:
                struct.pack_into(order + "HII", result, entry + 2, 4, 1, rng.choice(SIZES))
    except (struct.error, ValueError):
        return mutate_bytes(content, rng, most)
    return bytes(result)
