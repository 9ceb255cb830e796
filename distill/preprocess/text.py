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


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, including special tokens, truncated. Raises BundleError if the tokenizer fails."""
    clean = [replace_surrogates(text) for text in texts]
    with tokenizer_guard.translate_errors():
        bounded = [tokenizer_guard.cut(tokenizer, text) for text in clean]
        return [encoding.ids for encoding in tokenizer.encode_batch(bounded)]


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
