"""Encodes examples to arrays and collates them to a model's inputs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.core.settings.schema import build_dataclass
from distill.preprocess.images import ImageSource, ImageSpec, image_to_uint8
from distill.preprocess.text import CutTexts, TextSpec, has_text, load_tokenizer, pad, tokenise, tokenise_and_count

COUNTING = threading.Lock()  # of the texts that were cut
MOST_TEXTS = 2_000  # about as many are looked at for capitals
MORE_IN_CAPITALS = 1.15  # from so many times the tokens of the same texts in lower case on, a warning is due


@dataclass(frozen=True)
class PreprocessSpec:
    """How images and texts are preprocessed; stored in every run and Bundle."""

    image: ImageSpec
    text: TextSpec

    def to_json(self) -> dict[str, Any]:
        """A JSON table for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Any) -> PreprocessSpec:
        """The spec of such a table. Raises RecipeError for a missing, unknown or mistyped key."""
        return build_dataclass(cls, tree, "preprocess")


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of an exported model for B examples: input_ids and attention_mask int64 (B, T); pixels uint8
    (B, H, W, 3), RGB, normalised in the graph; present float32 (B, 2) in {0, 1}, whether there is a text and an
    image."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    present: NDArray[np.float32]

    def feed(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names of the exported graph's inputs."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "pixels": self.pixels,
            "present": self.present,
        }


@dataclass(frozen=True)
class EncodedExample:
    """One encoded example: its token ids (special tokens alone if it has no text) and its image, uint8
    (size, size, 3), or None."""

    ids: list[int]
    has_text: bool
    image: NDArray[np.uint8] | None


class Preprocessor:
    """Encodes texts and images to ModelInputs with one tokenizer and one PreprocessSpec. Without `reads_images`, as
    for a model of texts alone, every image counts as missing and none is decoded. `cut` counts which of the texts
    so far were too long."""

    def __init__(self, spec: PreprocessSpec, tokenizer_json: str, reads_images: bool = True) -> None:
        self.spec, self.reads_images = spec, reads_images
        self.tokenizer = load_tokenizer(tokenizer_json, spec.text)
        self.cut = CutTexts()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text. Raises BundleError if the tokenizer fails."""
        ids, cut = tokenise_and_count(self.tokenizer, texts)
        with COUNTING:
            self.cut += cut
        return ids

    def describe_cut(self) -> str | None:
        """One line about the texts that were cut; None where none was."""
        return self.cut.describe(self.spec.text.max_tokens)

    def image(self, source: ImageSource | None, name: str | None = None) -> NDArray[np.uint8] | None:
        """An image as uint8 (size, size, 3), RGB; None for None, a missing image. Raises ImageError."""
        if source is None or not self.reads_images:
            return None
        return image_to_uint8(source, self.spec.image, name)

    def batch(self, rows: Sequence[EncodedExample]) -> ModelInputs:
        """Collate rows: texts are padded to the longest; a missing image becomes zeros, which the model ignores."""
        input_ids, attention_mask = pad([row.ids for row in rows], self.spec.text.pad_id)
        size = self.spec.image.size
        missing = np.zeros((size, size, 3), dtype=np.uint8)
        pixels = np.stack([missing if row.image is None else row.image for row in rows])
        present = np.array([[row.has_text, row.image is not None] for row in rows], dtype=np.float32)
        return ModelInputs(input_ids, attention_mask, pixels, present)

    def rows(self, texts: Sequence[str], images: Sequence[NDArray[np.uint8] | None]) -> list[EncodedExample]:
        """Encode texts, and join each with its image (None if missing), for `batch`."""
        ids = self.ids(texts)
        return [EncodedExample(*parts) for parts in zip(ids, map(has_text, texts), images, strict=True)]


def warn_of_cut_texts(where: str, preprocessor: Preprocessor, texts: Sequence[str]) -> None:
    """Print how many of the texts are cut at max_tokens, and by how much; nothing where none is."""
    preprocessor.cut = CutTexts()
    preprocessor.ids(texts)
    if line := preprocessor.describe_cut():
        from distill.core.output.terminal import warn  # here: its imports are slow

        warn(f"{where}: {line}")


def warn_of_capitals(where: str, preprocessor: Preprocessor, texts: Sequence[str], key: str) -> None:
    """Print that a cased tokenizer splits texts in capitals into many pieces, which its encoder has hardly seen;
    nothing where it does not. `key` is the setting that helps."""
    tokenizer = Tokenizer.from_str(preprocessor.tokenizer.to_str())
    tokenizer.no_truncation()
    some = texts[:: max(1, len(texts) // MOST_TEXTS)]
    counts = [sum(map(len, tokenise(tokenizer, side))) for side in (some, [text.lower() for text in some])]
    if counts[0] > MORE_IN_CAPITALS * counts[1]:
        from distill.core.output.terminal import warn  # here: its imports are slow

        more = f"{counts[0] / counts[1] - 1:.0%} more tokens"
        warn(
            f"{where}: the tokenizer keeps capitals, and makes {more} of these texts than in lower case: "
            f"words in capitals fall into pieces that say little. Train anew with --set {key}=true"
        )
