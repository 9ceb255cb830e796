"""Pictures and texts to arrays: the same code in training and on the device. Knows Pillow and tokenizers,
no torch and no model."""

from __future__ import annotations

import io
import math
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tokenizers import Tokenizer

from distill import tokenizer_guard
from distill.errors import BundleError, PictureError, RecipeError
from distill.flatten import quiet, to_rgb
from distill.tree import build
from distill.untrusted import printable

MAX_PIXELS = 100_000_000  # a 10,000 x 10,000 picture; more is a mistake or an attack
# Each parser is one more to attack, and Pillow's for EPS starts Ghostscript. AVIF is last: older Pillows lack it.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
MAX_SIZE = 1024  # pixels; what a recipe may ask for
MAX_TOKENS = 32_768


@dataclass(frozen=True)
class PictureSpec:
    """How a picture becomes pixels: `size` in pixels; `mean` and `std` per RGB channel on the 0..1 scale."""

    size: int
    fit: Literal["squash", "crop"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_SIZE:
            raise RecipeError(f"preprocess.picture.size must be 1 to {MAX_SIZE} pixels, got {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise RecipeError(
                    f"preprocess.picture.{name} must be 3 finite numbers, got {len(values)}: {values[:3]}"
                )
        if min(self.std) <= 0:
            raise RecipeError(f"preprocess.picture.std must be > 0, got {min(self.std)}")


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes ids: at most `max_tokens`, special ones included; `pad_id` fills a batch."""

    max_tokens: int
    pad_id: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= MAX_TOKENS:
            raise RecipeError(f"preprocess.text.max_tokens must be 1 to {MAX_TOKENS}, got {self.max_tokens}")
        if not 0 <= self.pad_id < 1 << 31:
            raise RecipeError(f"preprocess.text.pad_id must be 0 to 2147483647, got {self.pad_id}")


@dataclass(frozen=True)
class PreprocessSpec:
    """Both halves, as they travel in a run and in a Bundle."""

    picture: PictureSpec
    text: TextSpec

    def to_json(self) -> dict[str, Any]:
        """A plain table for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Any) -> PreprocessSpec:
        """Raises RecipeError for a missing, unknown or mistyped key."""
        return build(cls, tree, "preprocess")


def open_picture(source: Path | bytes, name: str | None = None, max_pixels: int | None = None) -> Image.Image:
    """Open a picture by its content, whatever its suffix, of at most `max_pixels` (MAX_PIXELS where none is given).
    Raises PictureError; decodes nothing yet."""
    name = name or (str(source) if isinstance(source, Path) else "picture")
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise PictureError(f"{name}: is not a plain file")  # a FIFO would never end
        with quiet():
            picture = Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS)
    except FileNotFoundError as error:
        raise PictureError(f"{name}: no such picture") from error
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: a Pillow without AVIF
        raise PictureError(f"{name}: not a picture in a format read here ({', '.join(FORMATS)})") from error
    except PictureError:
        raise
    except Exception as error:  # parsers raise whatever they stumble over
        raise PictureError(f"{name}: cannot be opened as a picture: {_reason(error)}") from error
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    if picture.width * picture.height > limit:
        picture.close()
        size = f"{picture.width} x {picture.height} pixels"
        raise PictureError(f"{name}: {size}, over the limit of {limit:,}; shrink it")
    return picture


def picture_to_uint8(source: Path | bytes, spec: PictureSpec, name: str | None = None) -> NDArray[np.uint8]:
    """Decode, turn upright, lay on white and resize: uint8 (size, size, 3), RGB. Raises PictureError."""
    return to_pixels(decode(source, spec, name), spec)


def decode(source: Path | bytes, spec: PictureSpec, name: str | None = None) -> Image.Image:
    """The first half of `picture_to_uint8`: upright, RGB, laid on white, no smaller than `size`."""
    return upright(source, spec.size, name)


def upright(source: Path | bytes, side: int, name: str | None = None) -> Image.Image:
    """Decode, turn upright and lay on white: RGB. Raises PictureError.

    A JPEG is decoded at the smallest of its own scales that still covers `side` pixels each way (draft mode), which
    is several times cheaper than decoding it whole.
    """
    name = name or (str(source) if isinstance(source, Path) else "picture")
    try:
        with open_picture(source, name) as picture, quiet():
            picture.draft("RGB", (side, side))
            return to_rgb(picture)
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever they stumble over
        raise PictureError(f"{name}: the picture is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def to_pixels(picture: Image.Image, spec: PictureSpec) -> NDArray[np.uint8]:
    """The second half: uint8 (size, size, 3) of an RGB picture."""
    return np.asarray(_to_square(picture, spec), dtype=np.uint8)


def _to_square(picture: Image.Image, spec: PictureSpec) -> Image.Image:
    side = (spec.size, spec.size)
    if spec.fit == "crop":
        return ImageOps.fit(picture, side, Image.Resampling.BILINEAR)
    return picture.resize(side, Image.Resampling.BILINEAR)


def normalise(pixels: NDArray[np.uint8], spec: PictureSpec) -> NDArray[np.float32]:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W), (x / 255 - mean) / std per channel."""
    scale = (1.0 / (255.0 * np.asarray(spec.std))).astype(np.float32)
    shift = (-np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
    return np.ascontiguousarray((pixels * scale + shift).transpose(0, 3, 1, 2), dtype=np.float32)


def load_tokenizer(text: str, spec: TextSpec) -> Tokenizer:
    """A tokenizer from the text of its tokenizer.json, cutting at `max_tokens` and padding nothing. Raises
    BundleError for a text that is none, or that cannot keep to `max_tokens`."""
    tokenizer_guard.check(text)
    with tokenizer_guard.told():
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.enable_truncation(spec.max_tokens)
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if special > spec.max_tokens:
        raise BundleError(f"the tokenizer adds {special} tokens to every text, and max_tokens is {spec.max_tokens}")
    return tokenizer


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text, special tokens included, none longer than the tokenizer's truncation. Raises BundleError
    where the tokenizer fails."""
    # Lone surrogates (JSON can carry them) are not encodable: replace them as every UTF-8 reader does.
    clean = [printable(text) for text in texts]
    with tokenizer_guard.told():
        return [encoding.ids for encoding in tokenizer.encode_batch(clean)]


def pad(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of ids to input_ids and attention_mask, both int64 (B, T), T the longest row (at least 1)."""
    width = max(1, *(len(row) for row in ids))
    input_ids = np.full((len(ids), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(ids), width), dtype=np.int64)
    for row, values in enumerate(ids):
        input_ids[row, : len(values)] = values
        attention_mask[row, : len(values)] = 1
    return input_ids, attention_mask


@dataclass(frozen=True)
class Batch:
    """What an exported model takes: input_ids and attention_mask int64 (B, T); pixels uint8 (B, H, W, 3), RGB,
    which the graph normalises itself; present float32 (B, 2), 1 where an example has a text and where a picture."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    present: NDArray[np.float32]

    def feed(self) -> dict[str, NDArray[Any]]:
        """By the names of the exported graph's inputs."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "pixels": self.pixels,
            "present": self.present,
        }


def has_text(text: str) -> bool:
    """Whether there is a word in it: a text of blanks counts as no text."""
    return bool(text.strip())


@dataclass(frozen=True)
class Row:
    """One example, read: its token ids (the special ones alone where it has no text) and its picture uint8
    (size, size, 3), None where it has none."""

    ids: list[int]
    has_text: bool
    picture: NDArray[np.uint8] | None


class Reader:
    """Texts and pictures to Batches, with one tokenizer and one specification."""

    def __init__(self, spec: PreprocessSpec, tokenizer_json: str) -> None:
        self.spec = spec
        self.tokenizer = load_tokenizer(tokenizer_json, spec.text)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        return tokenise(self.tokenizer, texts)

    def picture(self, source: Path | bytes | None, name: str | None = None) -> NDArray[np.uint8] | None:
        """uint8 (size, size, 3); None for None, a missing picture. Raises PictureError."""
        return None if source is None else picture_to_uint8(source, self.spec.picture, name)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Texts padded to the longest; a missing picture is zeros, which the model does not look at."""
        input_ids, attention_mask = pad([row.ids for row in rows], self.spec.text.pad_id)
        size = self.spec.picture.size
        missing = np.zeros((size, size, 3), dtype=np.uint8)
        pixels = np.stack([missing if row.picture is None else row.picture for row in rows])
        present = np.array([[row.has_text, row.picture is not None] for row in rows], dtype=np.float32)
        return Batch(input_ids, attention_mask, pixels, present)

    def rows(self, texts: Sequence[str], pictures: Sequence[NDArray[np.uint8] | None]) -> list[Row]:
        """Texts and as many pictures, None for a missing one, ready for `batch`."""
        ids = self.ids(texts)
        return [Row(*parts) for parts in zip(ids, map(has_text, texts), pictures, strict=True)]
