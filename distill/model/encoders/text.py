"""The text encoder: a transformer, LSTM or static vectors with pooling, its tokenizer, and its name in recipes.

To add a kind of text encoder that starts from nothing:

1. Write its backbone beside lstm.py: a `config` with `hidden_size` and `to_dict`, and a forward from ids and mask
   to `last_hidden_state`; its tokenizer too, unless it takes lstm.py's.
2. Name it in `TEXT_FROM_SCRATCH` in distill.core.settings.model_config, from which its learning rate and the search
   of `distill tune` follow, and in what users read: the docstring of `TextTower` and recipes/meme.toml.
3. Load it in `load_text` and rebuild it in `rebuild_text`.

One with pretrained weights needs 1 and 3 alone. Augmentation takes a word's neighbours from its
`get_input_embeddings`, which transformers' models have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers
from torch import Tensor, nn

from distill.core.errors import BackboneError, RunError
from distill.core.settings.model_config import LSTM, TextTower
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.core.untrusted import short_repr
from distill.model.encoders.config import CONFIG
from distill.model.encoders.lstm import PAD, Lstm, LstmConfig, train_tokenizer
from distill.model.encoders.pruning import prune_layers, prune_vocabulary
from distill.model.encoders.static import Static, StaticConfig
from distill.model.encoders.static_table import static_table
from distill.model.encoders.weights import (
    loading_errors,
    pretrained_transformer,
    refuse_larger_than_weights,
    untrained_transformer,
)
from distill.preprocess.text import TextSpec


class TextEncoder(nn.Module):
    """A backbone and its pooling: input_ids, attention_mask int64 (B, T) to float (B, width)."""

    def __init__(self, backbone: nn.Module, pooling: Literal["mean", "cls"]) -> None:
        super().__init__()
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # its output is not used, so it is neither trained nor shipped
        self.backbone = backbone
        self.pooling = pooling
        self.width = int(backbone.config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The pooled vector, float (B, width)."""
        return self.pool(self.hidden_states(input_ids, attention_mask), attention_mask)

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last hidden state of every token, float (B, T, width)."""
        states: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states

    def pretrained_embeddings(self) -> NDArray[np.float32] | None:
        """The token embedding table, float32 (V, E); None for a backbone without pretrained ones."""
        embeddings = getattr(self.backbone, "get_input_embeddings", None)
        if embeddings is None:
            return None
        table: NDArray[np.float32] = embeddings().weight.detach().float().cpu().numpy()
        return table

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """The mean over all tokens but padding, or the first token's state: (B, T, width) to (B, width)."""
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)


class NoText(nn.Module):
    """In place of a text encoder where n-grams alone read the texts: features of width 0."""

    width = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Float (B, 0)."""
        return self.pool(self.hidden_states(input_ids, attention_mask), attention_mask)

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Float (B, T, 0)."""
        return attention_mask.new_zeros((*input_ids.shape, 0)).float()

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Float (B, T, 0) to (B, 0)."""
        return hidden[:, 0]

    def pretrained_embeddings(self) -> None:
        """There are none."""
        return


@dataclass(frozen=True)
class LoadedText:
    """A text encoder with the content of its tokenizer.json and its preprocessing."""

    encoder: TextEncoder | NoText
    tokenizer_json: str
    spec: TextSpec


def load_text(config: TextTower, where: str, texts: Sequence[str]) -> LoadedText:
    """The encoder that `config.model` names: "lstm", or a hub id or directory with pretrained weights and a fast
    tokenizer, pruned to `config.layers` and `config.vocab_size`, or static embeddings of one. Raises BackboneError,
    and InstallError where static embeddings have to be made and the library for it is missing.

    `where` is "teacher" or "student", for the messages; a pruned vocabulary keeps the words of `texts`.
    """
    if config.model == LSTM:
        return _untrained_lstm(config, texts)
    from transformers import AutoTokenizer

    key, source = f"{where}.text.model", config.source
    with loading_errors(source, key) as local:
        tokenizer = AutoTokenizer.from_pretrained(
            source, use_fast=True, trust_remote_code=False, local_files_only=local
        )
    backbone = None if config.ngrams == "only" else pretrained_transformer(source, key)
    if not tokenizer.is_fast:
        raise BackboneError(f"{key}={config.model}: has no tokenizer.json; convert it to a fast one")
    if tokenizer.pad_token_id is None:
        raise BackboneError(f"{key}={config.model}: its tokenizer names no padding token")
    if config.static and config.static_width is not None and backbone is not None:
        backbone = static_table(backbone, tokenizer, config.static_width, f"{key}={config.model}").encoder()
    limit = int(getattr(getattr(backbone, "config", None), "max_position_embeddings", config.max_tokens))
    if config.max_tokens > limit:
        raise BackboneError(f"{where}.text.max_tokens={config.max_tokens}: {config.model} takes {limit} at most")
    backend = tokenizer.backend_tokenizer
    if config.lowercase:
        present = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
    tokenizer_json = backend.to_str()
    if config.layers:
        prune_layers(backbone, config.layers)
    if config.vocab_size:
        tokenizer_json = prune_vocabulary(backbone, tokenizer_json, texts, config.vocab_size)
    spec = _spec(config, Tokenizer.from_str(tokenizer_json), tokenizer.pad_token)
    encoder = NoText() if backbone is None else TextEncoder(backbone, config.pooling)
    return LoadedText(encoder, tokenizer_json, spec)


def rebuild_text(folder: Path, config: TextTower) -> TextEncoder | NoText:
    """The architecture that `save_config` wrote to `folder`, with random weights for a checkpoint to fill."""
    if config.ngrams == "only":
        return NoText()
    if config.model == LSTM:
        lstm = Lstm(build_dataclass(LstmConfig, read_json(folder / CONFIG, RunError), "text.config"))
        return TextEncoder(lstm, config.pooling)
    if config.static:
        sizes = build_dataclass(StaticConfig, read_json(folder / CONFIG, RunError), "text.config")
        refuse_larger_than_weights(folder, sizes.size_bytes)
        return TextEncoder(Static(sizes), config.pooling)
    return TextEncoder(untrained_transformer(folder), config.pooling)


def _untrained_lstm(config: TextTower, texts: Sequence[str]) -> LoadedText:
    tokenizer = train_tokenizer(texts)
    backbone = Lstm(LstmConfig(tokenizer.get_vocab_size()))
    spec = _spec(config, tokenizer, PAD)
    return LoadedText(TextEncoder(backbone, config.pooling), tokenizer.to_str(), spec)


def _spec(config: TextTower, tokenizer: Tokenizer, pad: str) -> TextSpec:
    pad_id = tokenizer.token_to_id(pad)
    if pad_id is None:
        raise BackboneError(f"{config.model}: its padding token {short_repr(pad)} is not in its vocabulary")
    return TextSpec(max_tokens=config.max_tokens, pad_id=pad_id)
