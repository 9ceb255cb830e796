"""Reads the text on an image with rapidocr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from distill.core.errors import ImageError
from distill.core.extras import require
from distill.core.machine.cores import default_threads
from distill.preprocess.images import decode_rgb
from distill.runtime.ocr.reading_order import TextLine, sort_lines

MAX_PIXELS = 4_000_000  # time and memory grow with them; letters in a larger image are large as well
MAX_RATIO = 8  # of the long side to the short one: rapidocr enlarges a strip until its short side is 736 pixels
MIN_SIDE = 8  # pixels; no letter is smaller
MIN_CONFIDENCE = 0.5  # of a line; what is less certain is mostly no text


class TextReader:
    """An Ocr: rapidocr with the models in its package, for English, Chinese and some fifty languages more."""

    def __init__(self, threads: int = 0) -> None:
        """0 threads: as many as this process may use. Raises InstallError if rapidocr cannot be imported."""
        from importlib.metadata import version

        rapidocr = require("rapidocr", "reading images")
        self.name = f"rapidocr {version('rapidocr')}"
        onnxruntime = "EngineConfig.onnxruntime"
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",  # an image without text is no error
                "Global.text_score": MIN_CONFIDENCE,
                "Global.max_side_len": MAX_PIXELS,  # bounded below
                f"{onnxruntime}.intra_op_num_threads": threads or default_threads(),
                f"{onnxruntime}.inter_op_num_threads": 1,
            }
        )

    def read(self, source: Path | bytes, name: str | None = None) -> str:
        """The text, line by line in reading order; "" where there is none. Raises ImageError."""
        return "\n".join(line.text for line in sort_lines(self.lines(source, name)))

    def lines(self, source: Path | bytes, name: str | None = None) -> list[TextLine]:
        """The lines on the image, in no order. Raises ImageError."""
        name = name or (str(source) if isinstance(source, Path) else "image")
        image = decode_rgb(source, round(MAX_PIXELS**0.5), name)
        if min(image.size) < MIN_SIDE:
            return []
        try:
            result = self._engine(_bounded(image))
        except Exception as error:  # OpenCV and onnxruntime have errors of their own
            raise ImageError(f"{name}: its text cannot be read: {str(error).strip()[-200:]}") from error
        return [] if result.txts is None else list(map(_line, result.txts, result.boxes))


def _bounded(image: Image.Image) -> NDArray[np.uint8]:
    """BGR, uint8 (H, W, 3), within MAX_RATIO (by white margins) and MAX_PIXELS (by shrinking)."""
    width, height = image.size
    fitting = (max(width, -(-height // MAX_RATIO)), max(height, -(-width // MAX_RATIO)))
    if fitting != image.size:
        padded = Image.new("RGB", fitting, "white")
        padded.paste(image)
        image = padded
    shrink = (MAX_PIXELS / (image.width * image.height)) ** 0.5
    if shrink < 1:
        image = ImageOps.scale(image, shrink, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1])


def _line(text: str, box: NDArray[Any]) -> TextLine:
    """The upright rectangle around the four corners (4, 2) of a box that may be tilted."""
    left, top = box.min(axis=0)
    right, bottom = box.max(axis=0)
    return TextLine(text, float(left), float(top), float(right), float(bottom))
