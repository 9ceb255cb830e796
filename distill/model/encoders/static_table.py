"""Where static token embeddings come from: every token goes through a sentence encoder once, by the library
model2vec, and the table is cached."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.errors import BackboneError
from distill.core.extras import require
from distill.core.machine.device import chosen_device
from distill.core.output.terminal import note
from distill.core.storage.cache import cache_folder, optional_write
from distill.core.storage.files import write_bytes
from distill.model import distributed
from distill.model.encoders.static import Static, StaticConfig
from distill.model.encoders.weights import fingerprint

VERSION = "v1"  # raise it with every change of what is made below, which must miss the cache
SIF = 1e-4  # the `a` of smooth inverse frequency


@dataclass(frozen=True)
class StaticTable:
    """Of each token of a tokenizer, by its id: a vector, float32 (V, W), and a weight, float32 (V,)."""

    vectors: NDArray[np.float32]
    weights: NDArray[np.float32]

    def encoder(self) -> Static:
        """The trainable encoder that begins with them."""
        static = Static(StaticConfig(*self.vectors.shape))
        with torch.no_grad():
            static.embedding.weight.copy_(torch.from_numpy(self.vectors))
            static.token_weights.copy_(torch.from_numpy(self.weights))
        return static


def static_table(backbone: Any, tokenizer: Any, width: int, key: str) -> StaticTable:
    """The table of a pretrained encoder and its tokenizer, `width` wide, or as wide as the encoder where that is
    less; from the cache, or made by model2vec, which takes minutes on a CPU. `key` is the recipe's with its value.

    The cache names it by the encoder's weights, the tokenizer and the width. Raises BackboneError, and InstallError
    where model2vec is needed and not installed.
    """
    width = min(width, int(backbone.config.hidden_size))
    path = table_path(backbone, tokenizer, width)
    table = _read(path)
    distributed.barrier()  # every process has looked before the first one makes it
    if table is None and distributed.rank() == 0:
        table = _make(backbone, tokenizer, width, key)
        with optional_write():
            _write(path, table)
    distributed.barrier()
    return table or _read(path) or _make(backbone, tokenizer, width, key)


def table_path(backbone: Any, tokenizer: Any, width: int) -> Path:
    """Where the cache has this table, if it has it."""
    backbone.pooler = None  # it is not used, and random where a checkpoint has none
    words = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    return cache_folder() / "static" / fingerprint(backbone)[:16] / f"{words[:16]}-{width}-{VERSION}.npz"


def _make(backbone: Any, tokenizer: Any, width: int, key: str) -> StaticTable:
    """Tulkens and van Dongen 2024, "Model2Vec": each token alone through the encoder, the mean of its states,
    reduced to `width` by principal components."""
    model2vec = require("model2vec.distill", f"{key}, which is not in the cache,")
    note(f"{key}: {len(tokenizer):,} tokens go through the encoder once; then the cache has their vectors")
    device = chosen_device()
    try:
        made = model2vec.distill_from_model(
            backbone,
            tokenizer,
            device=None if device == "auto" else device,
            pca_dims=width,
            sif_coefficient=None,
            quantize_to="float32",
        )
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BackboneError(
            f"{key}: model2vec cannot make vectors of its tokens ({reason}); choose another"
        ) from error
    vectors = np.asarray(made.embedding, dtype=np.float32)
    row_of = made.tokenizer.get_vocab()
    known, size = len(set(row_of) & set(tokenizer.get_vocab())), len(tokenizer)
    if 2 * known < size:
        raise BackboneError(
            f"{key}: model2vec has vectors of {known:,} of its {size:,} tokens; choose another encoder"
        )
    if vectors.shape[1] != width or not np.isfinite(vectors).all():
        raise BackboneError(
            f"{key}: {len(vectors)} tokens have vectors {vectors.shape[1]} wide or not finite, not {width} wide; "
            "set a smaller static_width, or choose another encoder"
        )
    return _by_id(tokenizer, vectors, row_of)


def _by_id(tokenizer: Any, vectors: NDArray[np.float32], row_of: dict[str, int]) -> StaticTable:
    """The table in the order of the tokenizer's ids, each vector scaled to a root mean square of 1 and its length
    moved into the token's weight.

    A token's weight is a / (a + p) with the probability p of its rank by Zipf's law, as vocabularies are by falling
    frequency (Arora et al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings"), and 0 for special
    tokens and those that the library leaves out, such as [unused1]; the mean of the others is 1.
    """
    vocabulary, special = tokenizer.get_vocab(), set(tokenizer.all_special_ids)
    pairs = [(id_, row_of[token]) for token, id_ in vocabulary.items() if token in row_of and id_ not in special]
    ids, rows = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    scale = np.sqrt((vectors[rows] ** 2).mean(1)).clip(1e-6)
    shares = 1 / np.arange(2, len(ids) + 2)
    weights = scale * SIF / (SIF + shares / shares.sum())
    table = StaticTable(
        np.zeros((max(vocabulary.values()) + 1, vectors.shape[1]), dtype=np.float32),
        np.zeros(max(vocabulary.values()) + 1, dtype=np.float32),
    )
    table.vectors[ids] = vectors[rows] / scale[:, None]
    table.weights[ids] = weights / weights.mean()
    return table


def _write(path: Path, table: StaticTable) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, vectors=table.vectors, weights=table.weights)
    write_bytes(path, buffer.getvalue())


def _read(path: Path) -> StaticTable | None:
    """None where the cache has none that is whole."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            table = StaticTable(file["vectors"], file["weights"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    shapes_fit = table.vectors.ndim == 2 and table.weights.shape == table.vectors.shape[:1]
    return table if shapes_fit and np.isfinite(table.vectors).all() and np.isfinite(table.weights).all() else None
