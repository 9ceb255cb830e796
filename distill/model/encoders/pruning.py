"""Pruning a pretrained text encoder before training: fewer layers (`text.layers`), a smaller vocabulary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from distill.core.errors import BackboneError
from distill.model.encoders.static import Static


def prune_layers(backbone: Any, count: int) -> None:
    """Keep `count` of the transformer's layers, evenly spaced and with the first and the last; in place.

    After Sanh et al. 2019, "DistilBERT", section 3, which starts a student from every other layer of its
    teacher. Raises BackboneError when it has fewer layers, or all layers share one set of weights.
    """
    total = int(backbone.config.num_hidden_layers)
    if count > total:
        raise BackboneError(f"text.layers={count}: this encoder has {total}")
    stacks = [m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if len(stacks) != 1:
        raise BackboneError(f"text.layers={count}: its layers cannot be told apart (ALBERT's share weights)")
    chosen = np.linspace(0, total - 1, count).astype(int).tolist()
    kept = [stacks[0][index] for index in chosen]
    del stacks[0][:]
    stacks[0].extend(kept)
    backbone.config.num_hidden_layers = count


def prune_vocabulary(backbone: nn.Module, tokenizer_json: str, texts: Sequence[str], size: int) -> str:
    """Keep about `size` entries of the vocabulary with their embedding rows, in place; the new tokenizer.json.

    Kept are the special tokens, every single character (so that any text can still be tokenised), the pieces that
    occur in `texts`, and then pieces in the vocabulary's own order, which in BERT's and ALBERT's files is by
    falling frequency, until there are `size`. Pieces that cannot occur after the tokenizer's normalisation, such as
    capitals where it lower-cases, are skipped. Raises BackboneError for a tokenizer that is neither WordPiece nor
    Unigram.
    """
    tree = json.loads(tokenizer_json)
    pieces = _pieces(tree)
    if size >= len(pieces):
        return tokenizer_json
    full = Tokenizer.from_str(tokenizer_json)
    full.no_truncation()
    used = {id_ for encoding in full.encode_batch(list(texts)) for id_ in encoding.ids}
    special = {entry["content"] for entry in tree["added_tokens"]}
    needed = {id_ for id_, piece in enumerate(pieces) if piece in special or len(_bare(piece)) <= 1} | used
    rest = [id_ for id_ in range(len(pieces)) if id_ not in needed and _reachable(full, pieces[id_])]
    kept = sorted(needed | set(rest[: max(0, size - len(needed))]))
    _shrink_embedding(backbone, kept)
    return json.dumps(_renumbered(tree, pieces, kept), ensure_ascii=False)


def _pieces(tree: dict[str, Any]) -> list[str]:
    """The vocabulary in the order of its ids, which must have no gaps."""
    model = tree["model"]
    if model.get("type") == "Unigram":
        return [piece for piece, _ in model["vocab"]]
    if model.get("type") == "WordPiece" or (model.get("type") is None and "continuing_subword_prefix" in model):
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        if [model["vocab"][piece] for piece in pieces] == list(range(len(pieces))):
            return pieces
    raise BackboneError(
        f"text.vocab_size: a {model.get('type')} vocabulary cannot be pruned, only whole WordPiece and Unigram "
        "ones; set it to 0"
    )


def _reachable(tokenizer: Tokenizer, piece: str) -> bool:
    bare = _bare(piece)
    return tokenizer.normalizer is None or tokenizer.normalizer.normalize_str(bare) == bare


def _bare(piece: str) -> str:
    return piece.removeprefix("##").removeprefix("\u2581")


def _shrink_embedding(backbone: Any, kept: list[int]) -> None:
    if isinstance(backbone, Static):
        backbone.keep_tokens(kept)
        return
    old = backbone.get_input_embeddings()
    padding = None if old.padding_idx is None else kept.index(old.padding_idx)
    new = nn.Embedding(len(kept), old.embedding_dim, padding_idx=padding)
    with torch.no_grad():
        new.weight.copy_(old.weight[torch.tensor(kept)])
    backbone.set_input_embeddings(new)
    backbone.config.vocab_size = len(kept)
    if padding is not None:
        backbone.config.pad_token_id = padding


def _renumbered(tree: dict[str, Any], pieces: list[str], kept: list[int]) -> dict[str, Any]:
    """tokenizer.json with the new ids in its vocabulary, added tokens, post-processor and unknown token."""
    new = {old: index for index, old in enumerate(kept)}
    model = tree["model"]
    if model.get("type") == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in kept]
        if model.get("unk_id") is not None:
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {pieces[old]: index for old, index in new.items()}
    for entry in tree["added_tokens"]:
        entry["id"] = new[entry["id"]]
    processor = tree.get("post_processor") or {}
    for name in ("sep", "cls"):  # BertProcessing: ["[SEP]", 102]
        if name in processor:
            processor[name][1] = new[processor[name][1]]
    for entry in (processor.get("special_tokens") or {}).values():  # TemplateProcessing
        entry["ids"] = [new[old] for old in entry["ids"]]
    return tree
