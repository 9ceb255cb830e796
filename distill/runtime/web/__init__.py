"""The folder of a page that asks a Bundle in a browser. Knows files, no browser.

OUT/
  index.html        the page; check.html gives the Bundle's own answers again
  *.js, style.css   its parts, as they stand in export/web/static
  page.json         the tokenizer in the page's words (export.web.text), and how this Pillow resizes
  bundle/           the Bundle, whole and unchanged
  ort/              onnxruntime-web
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from distill.core.errors import BundleError, ExportError
from distill.core.files import whole_folder, write_bytes, write_text
from distill.core.untrusted import is_file
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import FILES, MANIFEST
from distill.runtime.web import ort
from distill.runtime.web.text import describe

STATIC = Path(__file__).parent / "static"


def refuse_if_in_the_way(out: Path) -> None:
    """Raise BundleError when `out` holds anything but such a page, which alone may be replaced."""
    page = is_file(out / "page.json") and is_file(out / "bundle" / MANIFEST)
    if out.is_file() or (out.exists() and not page and any(out.iterdir())):
        raise BundleError(f"{out}: holds something that is not a page of distill; choose another folder")


def tall_first() -> bool:
    """Whether the Pillow that is installed shrinks a tall image's height before its width, as it does since 13.

    Between the two it rounds, so the order shows in the pixels.
    """
    noise = np.random.default_rng(13).integers(0, 256, (64, 24, 3), dtype=np.uint8)
    image, size = Image.fromarray(noise), (16, 16)
    found, by_width, by_height = (
        np.asarray(image.resize(first, Image.Resampling.BILINEAR).resize(size, Image.Resampling.BILINEAR))
        for first in (size, (16, 64), (24, 16))
    )
    if np.array_equal(found, by_width) == np.array_equal(found, by_height):
        raise ExportError(f"Pillow {PIL.__version__} resizes in a way that the page does not know; use 12 or 13")
    return np.array_equal(found, by_height)


def write(folder: Path, out: Path, runtime: dict[str, bytes]) -> None:
    """Write the page of the Bundle in `folder`, whole or not at all; `runtime` is what `ort.obtain` gave.

    Raises BundleError, and ExportError for a tokenizer that the page cannot do exactly.
    """
    refuse_if_in_the_way(out)
    bundle = Bundle.open(folder)
    if not folder.is_dir():
        raise BundleError(f"{folder}: a page is made of a Bundle's folder, not of one file; give the folder")
    text = describe(bundle.tokenizer_json, bundle.preprocess.text)
    with whole_folder(out) as part:
        for source in sorted(STATIC.iterdir()):
            write_bytes(part / source.name, source.read_bytes())
        parts = {"text": text, "image": {"tall_first": tall_first()}}
        write_text(part / "page.json", json.dumps(parts, ensure_ascii=False))
        (part / "bundle").mkdir()
        for name in (*FILES, MANIFEST):
            shutil.copyfile(folder / name, part / "bundle" / name)
        Bundle.open(part / "bundle")  # what ships is what was checked
        for name, content in runtime.items():
            write_bytes(part / "ort" / name, content)
        write_text(part / "ort" / "LICENSE.txt", ort.LICENCE)
