"""Writes the folder of a page that runs a Bundle in a browser: `distill export --web`.

OUT/
  index.html        the page; check.html replays the Bundle's golden answers
  *.js, style.css   as in distill/runtime/web/static
  page.json         the tokenizer as tables (distill.runtime.web.tokenizer), and how this Pillow resizes
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
from distill.core.storage.files import atomic_folder, refuse_existing, write_bytes, write_text
from distill.core.untrusted import is_file
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import MANIFEST
from distill.runtime.web.onnxruntime_web import LICENCE
from distill.runtime.web.tokenizer import describe_tokenizer

STATIC = Path(__file__).parent / "static"


def write_page(folder: Path, out: Path, runtime: dict[str, bytes]) -> None:
    """Write the page of the Bundle in `folder`, whole or not at all; `runtime` is what `load_runtime` returned.

    Raises BundleError, and ExportError for a tokenizer that the page cannot reproduce exactly.
    """
    refuse_existing_page(out, overwrite=True)
    bundle = Bundle.open(folder)
    if not folder.is_dir():
        raise BundleError(f"{folder}: a page is made from a Bundle's folder, not from one file; give the folder")
    if bundle.runtime != "onnxruntime":
        raise BundleError(
            f"{folder}: is made for {bundle.runtime}, and a page runs an ONNX file; export it for onnxruntime"
        )
    text = describe_tokenizer(bundle.tokenizer_json, bundle.preprocess.text)
    with atomic_folder(out) as part:
        for source in sorted(STATIC.iterdir()):
            write_bytes(part / source.name, source.read_bytes())
        page = {"text": text, "image": {"height_first": resizes_height_first()}}
        write_text(part / "page.json", json.dumps(page, ensure_ascii=False))
        (part / "bundle").mkdir()
        for file in bundle.files:
            shutil.copyfile(file, part / "bundle" / file.name)
        Bundle.open(part / "bundle")  # the copy is checked, not the source, which may have changed
        for name, content in runtime.items():
            write_bytes(part / "ort" / name, content)
        write_text(part / "ort" / "LICENSE.txt", LICENCE)


def refuse_existing_page(out: Path, overwrite: bool) -> None:
    """Raise OutputError when `out` holds such a page that may not be overwritten, or anything else."""
    refuse_existing(out, overwrite, _is_page, "a page of distill")


def _is_page(folder: Path) -> bool:
    return is_file(folder / "page.json") and is_file(folder / "bundle" / MANIFEST)


def resizes_height_first() -> bool:
    """Whether the installed Pillow shrinks a tall image's height before its width, as it does since version 13.

    Pillow rounds between the two steps, so their order shows in the pixels.
    """
    noise = np.random.default_rng(13).integers(0, 256, (64, 24, 3), dtype=np.uint8)
    image, size = Image.fromarray(noise), (16, 16)
    actual, width_first, height_first = (
        np.asarray(image.resize(step, Image.Resampling.BILINEAR).resize(size, Image.Resampling.BILINEAR))
        for step in (size, (16, 64), (24, 16))
    )
    if np.array_equal(actual, width_first) == np.array_equal(actual, height_first):
        raise ExportError(f"Pillow {PIL.__version__} resizes in a way that the page does not know; use 12 or 13")
    return np.array_equal(actual, height_first)
