"""Images that are odd, broken or made to harm, and what must come of each. Knows bytes, not distill.

`IMAGES` is data: the tests run over it, and its length is what the reliability page counts.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

SIZE = (40, 30)
RED = (200, 30, 40)


@dataclass(frozen=True)
class HostileImage:
    """A file's content; `good` says whether it must be read (and not refused)."""

    name: str
    content: bytes
    good: bool


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def red(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def noise(size: tuple[int, int] = (300, 300)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, body: bytes = b"", extra: tuple[bytes, ...] = ()
) -> bytes:
    """A PNG of any claim: `body` is what its IDAT unpacks to, `extra` are chunks before it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n", head, *extra, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"".join(parts)


def jpeg_with_exif(exif: bytes) -> bytes:
    return saved(red(), "JPEG", quality=95, exif=b"Exif\x00\x00" + exif)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(red(), "JPEG", quality=95, exif=exif)


def frames(form: str, **options: object) -> bytes:
    later = [Image.new("RGB", SIZE, name) for name in ("blue", "green")]
    return saved(red(), form, save_all=True, append_images=later, duration=100, **options)


def palette_with_alpha() -> bytes:
    """A palette whose transparency is one byte an entry."""
    return saved(red().quantize(4), "PNG", transparency=bytes([255, 128, 0, 255]))


def tiff(entries: list[tuple[int, int, int, int]], after: int = 0, tail: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value) each, then where the next one is."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", after) + tail


def plain_tiff(**changed: tuple[int, int, int]) -> bytes:
    """An 8 x 8 grey TIFF with tags changed: (type, count, value) by the name below."""
    names = {"width": 256, "height": 257, "bits": 258, "packing": 259, "photometric": 262, "offset": 273}
    names |= {"samples": 277, "rows": 278, "bytes": 279, "odd": 65000, "tile_width": 322, "tile_height": 323}
    tags = {"width": (4, 1, 8), "height": (4, 1, 8), "bits": (3, 1, 8), "packing": (3, 1, 1)}
    tags |= {"photometric": (3, 1, 1), "offset": (4, 1, 8), "samples": (3, 1, 1), "rows": (4, 1, 8)}
    tags |= {"bytes": (4, 1, 64)}
    return tiff(sorted((names[name], *entry) for name, entry in (tags | changed).items()), tail=bytes(range(64)))


def floats(*values: float) -> bytes:
    return saved(Image.fromarray(np.resize(np.array(values, dtype=np.float32), (8, 8))), "TIFF")


def text_bomb(kind: bytes) -> bytes:
    """16 MB of blanks in a chunk of 16 kB."""
    packed = zlib.compress(b" " * (16 << 20), 9)
    content = {b"zTXt": b"Comment\x00\x00", b"iTXt": b"Comment\x00\x01\x00\x00\x00", b"iCCP": b"p\x00\x00"}[kind]
    return png(8, 8, body=bytes(25 * 8), extra=(chunk(kind, content + packed),))


def icon(inner: bytes) -> bytes:
    """An ICO that claims 16 x 16 pixels and holds another image."""
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def gif_header(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)


def gif_frame(width: int, height: int) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02D\x01\x00;"


def jpeg_scans(times: int, size: tuple[int, int] = (400, 300)) -> bytes:
    """A progressive JPEG whose last scan comes `times` times."""
    whole = saved(noise(size), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * times + b"\xff\xd9"


def jpeg_of_two_sizes() -> bytes:
    """A small JPEG before whose size a larger one is given."""
    whole = saved(red(), "JPEG")
    at = whole.index(b"\xff\xc0")
    larger = whole[at : at + 5] + struct.pack(">HH", 60_000, 60_000) + whole[at + 9 : at + 19]
    return whole[:at] + larger + whole[at:]


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP in run-length coding of which each row is one byte of colour."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + head + bytes(1024) + b"\1\1\0\0" * height


def avif_of_lies(size: tuple[int, int]) -> bytes:
    """An AVIF of that size that says it has 64 x 64 pixels."""
    whole = saved(red(size=size), "AVIF", speed=10)
    at = whole.index(b"ispe") + 8
    return whole[:at] + struct.pack(">II", 64, 64) + whole[at + 8 :]


def avif_of_frames(times: int) -> bytes:
    """An AVIF whose one image holds its frame `times` times: each would be decoded."""
    whole = saved(red(), "AVIF")
    body = whole.index(b"mdat") + 4
    frame = whole.index(b"\x32", body)  # the data unit of a frame
    data = whole[body:frame] + whole[frame:] * times
    at = whole.index(b"iloc")
    where = whole.index(struct.pack(">I", len(whole) - body), at)
    boxes = bytearray(whole[:body])
    boxes[where : where + 4] = struct.pack(">I", len(data))
    boxes[body - 8 : body - 4] = struct.pack(">I", len(data) + 8)
    return bytes(boxes) + data


def tags_in_one_place(tags: int) -> bytes:
    """A TIFF whose private tags are all the same megabyte: a gigabyte of memory."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), *((1000 + tag, 7, 1 << 20, 8) for tag in range(tags))]
    return tiff(entries, tail=bytes(1 << 20))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n(x) show\nshowpage\n%%EOF\n"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect/></svg>'
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
XPM = b'/* XPM */\nstatic char *x[] = {\n"8 8 1 1",\n"a c #ff0000",\n' + b'"aaaaaaaa",\n' * 8 + b"};\n"
DEEP = np.full((8, 8), 40000, dtype=np.uint16)

GOOD = {
    "plain.jpg": saved(red(), "JPEG"),
    "progressive.jpg": saved(noise(), "JPEG", progressive=True),
    "jpeg-named.png": saved(red(), "JPEG"),
    "png-named.gif": saved(red(), "PNG"),
    "webp-named.jpg": saved(red(), "WEBP"),
    "avif-named.jpg": saved(red(), "AVIF"),
    "progressive-cmyk.jpg": saved(noise().convert("CMYK"), "JPEG", progressive=True),
    "progressive-restarts.jpg": saved(noise(), "JPEG", progressive=True, restart_marker_blocks=1),
    "runs.bmp": run_length_bmp(40, 30),
    "alpha.avif": saved(red("RGBA"), "AVIF"),
    "animated.avif": frames("AVIF"),
    "deflate.tif": saved(noise(), "TIFF", compression="tiff_adobe_deflate"),
    "in-jpeg.tif": saved(noise(), "TIFF", compression="jpeg"),
    "big.tif": saved(noise(), "TIFF", big_tiff=True),
    "cmyk.jpg": saved(red("CMYK"), "JPEG"),
    "cmyk.tif": saved(red("CMYK"), "TIFF"),
    "palette.png": saved(red("P"), "PNG"),
    "palette-alpha-bytes.png": palette_with_alpha(),
    "palette-one-clear.gif": saved(red("P"), "GIF", transparency=0),
    "bitmap.bmp": saved(red("1"), "BMP"),
    "bitmap.tif": saved(red("1"), "TIFF", compression="group4"),
    "grey-alpha.png": saved(red("LA"), "PNG"),
    "clear.webp": saved(red("RGBA"), "WEBP", lossless=True),
    "16-bit.png": saved(Image.fromarray(DEEP), "PNG"),
    "16-bit.tif": saved(Image.fromarray(DEEP), "TIFF"),
    "16-bit-rgb.png": png(2, 2, depth=16, body=(b"\x00" + bytes(12)) * 2),
    "16-bit-big-endian.tif": b"MM\x00*" + saved(Image.fromarray(DEEP).convert("I;16B"), "TIFF")[4:],
    "float.tif": floats(0.0, 128.5, 255.0),
    "float-negative.tif": floats(-5.0, 1.0),
    "animated.gif": frames("GIF"),
    "animated.webp": frames("WEBP"),
    "animated.png": frames("PNG"),
    "two-pages.tif": frames("TIFF"),
    **{f"exif-{orientation}.jpg": turned(orientation) for orientation in range(1, 9)},
    "exif-9.jpg": turned(9),
    "exif-garbage.jpg": jpeg_with_exif(b"not a directory at all"),
    "exif-empty.jpg": jpeg_with_exif(b""),
    "exif-endless.jpg": jpeg_with_exif(tiff([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8)], after=8)),
    "exif-odd-type.jpg": jpeg_with_exif(tiff([(0x0112, 5, 1, 8), (0x010F, 2, 0xFFFFFF, 12)])),
    "exif-text.jpg": jpeg_with_exif(tiff([(0x0112, 2, 4, 0x36363636)])),
    "1x1.png": saved(red(size=(1, 1)), "PNG"),
    "1x1.gif": saved(red("P", size=(1, 1)), "GIF"),
    "20000-wide.png": saved(red(size=(20_000, 1)), "PNG"),
    "20000-wide.jpg": saved(red(size=(20_000, 3)), "JPEG"),
    "20000-tall.png": saved(red(size=(1, 20_000)), "PNG"),
    "bytes-after-the-end.jpg": saved(red(), "JPEG") + b"\x00garbage" * 99,
    "colour-profile-of-noise.png": saved(red(), "PNG", icc_profile=b"noise" * 99),
    "odd-private-tag.tif": plain_tiff(odd=(7, 4, 0x41414141)),
    "unknown-tag-type.tif": plain_tiff(odd=(99, 4, 8)),
}
JPEG, PNG, WEBP = (saved(noise(), form) for form in ("JPEG", "PNG", "WEBP"))
NOISE = {form: saved(noise(), form) for form in ("GIF", "BMP", "TIFF")}
BAD = {
    "empty.jpg": b"",
    "one-byte.jpg": b"\xff",
    "only-marker.jpg": b"\xff\xd8\xff",
    "only-signature.png": b"\x89PNG\r\n\x1a\n",
    **{f"half.{form.lower()}": content[: len(content) // 2] for form, content in NOISE.items()},
    "half.jpg": JPEG[: len(JPEG) // 2],
    "half.png": PNG[: len(PNG) // 2],
    "half.webp": WEBP[: len(WEBP) // 2],
    "half-header.png": PNG[:20],
    "no-data.png": png(8, 8),
    "bad-checksum.png": PNG[:29] + b"\x00\x00\x00\x00" + PNG[33:],
    "no-size.png": png(0, 0),
    "page-named.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
    "svg-named.png": SVG,
    "pdf-named.png": PDF,
    "eps-named.png": EPS,
    "dos-eps-named.png": b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 32, len(EPS), 0, 0, 0, 0, 0) + b"\0\0" + EPS,
    "xpm-named.png": XPM,
    "zip-named.jpg": b"PK\x03\x04" + bytes(60),
    "program-named.jpg": b"\x7fELF" + bytes(60),
    "huge-header.png": png(100_000, 100_000),
    "largest-header.png": png(2**31 - 1, 2**31 - 1),
    "over-the-limit.png": png(20_000, 20_000, depth=1, colour=0),
    "huge-screen.gif": gif_header(65_535, 65_535) + gif_frame(1, 1),
    "huge-frame.gif": gif_header(1, 1) + gif_frame(65_535, 65_535),
    "huge.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "negative.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -8, -8, 1, 24, 0, 0, 0, 0, 0, 0),
    "huge.ppm": b"P6 99999 99999 255 ",
    "icon-with-a-bomb.jpg": icon(png(60_000, 60_000)),
    "text-bomb.png": text_bomb(b"iTXt"),
    "old-text-bomb.png": text_bomb(b"zTXt"),
    "chunk-of-2-gb.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 0x7FFFFFFF) + b"IHDR" + bytes(13),
    "huge.tif": plain_tiff(width=(4, 1, 1 << 20), height=(4, 1, 1 << 20)),
    "strip-outside.tif": plain_tiff(offset=(4, 1, 0x7FFFFFFF)),
    "no-width.tif": plain_tiff(width=(4, 0, 0)),
    "many-values.tif": plain_tiff(offset=(4, 0x3FFFFFFF, 8)),
    "text-as-width.tif": plain_tiff(width=(2, 4, 0x41414141)),
    "65535-samples.tif": plain_tiff(samples=(3, 1, 65_535)),
    "51-scans.jpg": jpeg_scans(42),
    "two-sizes.jpg": jpeg_of_two_sizes(),
    "full-of-comments.jpg": JPEG[:2] + b"\xff\xfe\x00\x02" * 6000 + JPEG[2:],
    "huge-runs.bmp": run_length_bmp(2000, 1000),
    "1000000-wide.png": png(1_000_000, 1, body=bytes(3_000_001)),
    "many-frames.avif": avif_of_frames(9),
    "half.avif": saved(noise(), "AVIF")[:200],
    "huge-tile.tif": plain_tiff(tile_width=(4, 1, 25_600), tile_height=(4, 1, 25_600), offset=(4, 1, 8)),
    "width-twice.tif": tiff([(256, 4, 1, 25_600), (256, 4, 1, 8), (257, 4, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]),
    "many-strips.tif": plain_tiff(offset=(4, 200_000, 8)),
    "tiny-tiles.tif": plain_tiff(
        width=(4, 1, 8000), height=(4, 1, 8000), tile_width=(4, 1, 8), tile_height=(4, 1, 8)
    ),
    "old-jpeg.tif": plain_tiff(packing=(3, 1, 6)),
    "big-endian-big.tif": b"MM\x00+" + struct.pack(">HHQ", 8, 0, 16) + bytes(40),
    "tags-in-one-place.tif": tags_in_one_place(1000),
    "float-nan.tif": floats(float("nan"), 1.0),
    "float-infinite.tif": floats(float("inf"), 1.0),
}
IMAGES = [HostileImage(name, content, True) for name, content in GOOD.items()]
IMAGES += [HostileImage(name, content, False) for name, content in BAD.items()]


def with_xmp(orientation: str, image: Image.Image) -> bytes:
    """A PNG that says in XMP alone how it lies."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", f'<x:xmpmeta tiff:Orientation="{orientation}"/>')
    return saved(image, "PNG", pnginfo=info)
