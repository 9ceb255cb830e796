"""What a network computes: logits and pooled features, as tensors of a batch or arrays of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Outputs(Generic[A]):
    """`logits` (N, L), and the encoders' pooled outputs before any norm, `text` (N, Wt) and `image` (N, Wi): float
    tensors of a batch, or float32 arrays of a dataset."""

    logits: A
    text: A
    image: A

    def map(self, function: Callable[[A], B]) -> Outputs[B]:
        """`function` applied to each."""
        return Outputs(function(self.logits), function(self.text), function(self.image))
