"""What stands in for model2vec: a vector for each token, in an order of its own and without some of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass
class Vocabulary:
    """The tokens that have a vector, by row."""

    rows: dict[str, int]

    def get_vocab(self) -> dict[str, int]:
        return self.rows


@dataclass
class Made:
    """As the library's StaticModel, as far as it is read."""

    embedding: NDArray[np.float32]
    tokenizer: Vocabulary


@dataclass
class StaticLibrary:
    """Random vectors from a fixed seed; `rename` is the form of its tokens, `calls` the widths of tables."""

    rename: str = "{}"
    calls: list[int] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    def distill_from_model(self, backbone: Any, tokenizer: Any, *, pca_dims: int, **_: Any) -> Made:
        vocabulary = tokenizer.get_vocab()
        tokens = sorted(vocabulary, key=vocabulary.__getitem__, reverse=True)
        rows = {self.rename.format(token): row for row, token in enumerate(tokens[3:])}
        lengths = np.random.default_rng(1).uniform(1, 3, (len(rows), 1))
        vectors = lengths * np.random.default_rng(0).standard_normal((len(rows), pca_dims))
        self.calls.append(pca_dims)
        self.made.append(Made(vectors.astype(np.float32), Vocabulary(rows)))
        return self.made[-1]


def install(patch: pytest.MonkeyPatch) -> StaticLibrary:
    """Put it in place of model2vec, installed or not."""
    library = StaticLibrary()
    module = ModuleType("model2vec.distill")
    module.distill_from_model = library.distill_from_model  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "model2vec", ModuleType("model2vec"))
    patch.setitem(sys.modules, "model2vec.distill", module)
    return library


def remove(patch: pytest.MonkeyPatch) -> None:
    """As where it is not installed."""
    patch.setitem(sys.modules, "model2vec", None)
    patch.delitem(sys.modules, "model2vec.distill", raising=False)
