"""Says what a file is that is no image in a supported format, by how it begins."""

from __future__ import annotations

KINDS = {
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"8BPS": "a Photoshop file",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\xff\x0a": "a JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000",
    b"\x00\x00\x01\x00": "an icon (ICO)",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
}
AVIF = (b"avif", b"avis", b"mif1", b"msf1")  # which an older Pillow cannot open


def describe(content: bytes) -> str:
    """What the file is, as the end of a sentence."""
    if not content:
        return "it is empty"
    for start, kind in KINDS.items():
        if content.startswith(start):
            return f"it is {kind}"
    if content[4:8] == b"ftyp":
        return f"it is {'an AVIF' if content[8:12] in AVIF else 'a video (MP4)'}"
    text = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "it is an SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page"
    return f"it begins with {content[:8].hex(' ')}"
