"""Tokenizes texts with a tokenizer.json, and pads token ids to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.core.errors import BundleError, RecipeError
from distill.core.untrusted import replace_surrogates
from distill.preprocess import tokenizer_guard

MAX_TOKENS = 32_768


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes token ids: at most `max_tokens`, including special tokens; `pad_id` pads a batch."""

    max_tokens: int
    pad_id: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= MAX_TOKENS:
            raise RecipeError(f"preprocess.text.max_tokens must be 1 to {MAX_TOKENS}, got {self.max_tokens}")
        if not 0 <= self.pad_id < 1 << 31:
            raise RecipeError(f"preprocess.text.pad_id must be 0 to 2147483647, got {self.pad_id}")


def load_tokenizer(text: str, spec: TextSpec) -> Tokenizer:
    """A tokenizer from the content of a tokenizer.json, truncating at `max_tokens`, without padding. Raises
    BundleError for invalid content, or if its special tokens alone exceed `max_tokens`."""
    tokenizer_guard.check_tokenizer(text)
    with tokenizer_guard.translate_errors():
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.enable_truncation(spec.max_tokens)
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if special > spec.max_tokens:
        raise BundleError(f"the tokenizer adds {special} tokens to every text, and max_tokens is {spec.max_tokens}")
    return tokenizer


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """One more than the largest id of a token."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


@dataclass(frozen=True)
class CutTexts:
    """How many of `texts` were `cut` at max_tokens: of their `tokens`, special ones left out, they `lost` so many.
    `longest` are the tokens of the longest."""

    texts: int = 0
    cut: int = 0
    tokens: int = 0
    lost: int = 0
    longest: int = 0

    def __add__(self, other: CutTexts) -> CutTexts:
        return CutTexts(
            self.texts + other.texts,
            self.cut + other.cut,
            self.tokens + other.tokens,
            self.lost + other.lost,
            max(self.longest, other.longest),
        )

    def describe(self, max_tokens: int) -> str | None:
        """One line; None where no text was cut."""
        if not self.cut:
            return None
        verb = "text is" if self.cut == 1 else "texts are"
        return (
            f"{self.cut:,} of {self.texts:,} {verb} cut at max_tokens={max_tokens}: "
            f"{self.lost / self.tokens:.0%} of their tokens are not read, and the longest has {self.longest:,}"
        )


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, including special tokens, truncated. Raises BundleError if the tokenizer fails."""
    return tokenise_and_count(tokenizer, texts)[0]


def tokenise_and_count(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[list[list[int]], CutTexts]:
    """As `tokenise`, with what truncation cost."""
    clean = [replace_surrogates(text) for text in texts]
    with tokenizer_guard.translate_errors():
        bounded = [tokenizer_guard.cut(tokenizer, text) for text in clean]
        encodings = tokenizer.encode_batch(bounded)
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
    cut = CutTexts(len(encodings))
    for encoding in encodings:
        if encoding.overflowing:
            lost = sum(len(part.ids) - special for part in encoding.overflowing)
            tokens = len(encoding.ids) - special + lost
            cut += CutTexts(cut=1, tokens=tokens, lost=lost, longest=tokens)
    return [encoding.ids for encoding in encodings], cut


def pad(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids of B texts to input_ids and attention_mask, int64 (B, T), where T >= 1 is the longest text."""
    width = max(1, *(len(row) for row in ids))
    input_ids = np.full((len(ids), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(ids), width), dtype=np.int64)
    for row, values in enumerate(ids):
        input_ids[row, : len(values)] = values
        attention_mask[row, : len(values)] = 1
    return input_ids, attention_mask


def has_text(text: str) -> bool:
    """Whether a text has any word; one of blanks alone counts as missing."""
    return bool(text.strip())
