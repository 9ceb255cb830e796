"""Static embeddings (`text.model = "static:ID"`): a text is the weighted mean of its tokens' vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from distill.core.errors import RecipeError


@dataclass(frozen=True)
class StaticConfig:
    """The number of tokens and the width of their vectors."""

    vocab_size: int
    hidden_size: int
    model_type: str = "distill-static"

    def __post_init__(self) -> None:
        for name, most in {"vocab_size": 1 << 20, "hidden_size": 1 << 13}.items():
            if not 1 <= getattr(self, name) <= most:
                raise RecipeError(f"text.config.{name} must be 1 to {most}, got {getattr(self, name)}")

    @property
    def size_bytes(self) -> int:
        """Of the weights."""
        return 4 * self.vocab_size * (self.hidden_size + 1)

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json, as transformers' configurations give it."""
        return asdict(self)


class StaticOutput(NamedTuple):
    """`last_hidden_state` float (B, T, hidden_size), as in the outputs of transformers' models."""

    last_hidden_state: Tensor


class Static(nn.Module):
    """A vector and a weight for each token, both learned: ids int64 (B, T) to StaticOutput, whose mean over the
    tokens is the text's vector.

    The weights are apart from the vectors, which are then all of one scale: so one scale of int8 fits the whole
    table, and training moves rare and common tokens alike.
    """

    def __init__(self, config: StaticConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_weights = nn.Parameter(torch.ones(config.vocab_size))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> StaticOutput:
        """Each token's weighted vector; the mask is for whoever takes the mean."""
        return StaticOutput(self.embedding(input_ids) * self.token_weights[input_ids].unsqueeze(-1))

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of vectors, as transformers' models give it."""
        return self.embedding

    def keep_tokens(self, kept: Sequence[int]) -> None:
        """Drop all tokens but these, which are numbered anew in this order; in place."""
        config = StaticConfig(len(kept), self.config.hidden_size)
        smaller, rows = Static(config), torch.tensor(kept)
        with torch.no_grad():
            smaller.embedding.weight.copy_(self.embedding.weight[rows])
            smaller.token_weights.copy_(self.token_weights[rows])
        self.config, self.embedding, self.token_weights = config, smaller.embedding, smaller.token_weights
