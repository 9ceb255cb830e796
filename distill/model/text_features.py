"""Pooled features of texts by a tower that is not trained, or not yet: each text runs through it once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.output.terminal import track
from distill.model.compute import default_device
from distill.model.dataset import EncodedDataset
from distill.model.encoders.static import Static
from distill.model.encoders.text import NoText, TextEncoder
from distill.model.feature_cache import FeatureCache
from distill.model.fusion import Concat
from distill.model.network import TwoTowerNetwork
from distill.preprocess.text import pad

BATCH = 32
IRRELEVANT = {"_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype"}


def with_text_features(network: TwoTowerNetwork, encoded: EncodedDataset) -> EncodedDataset:
    """These examples with the features of a text encoder that is not trained, or not yet; as they are where they
    have them, or where no text is read, or token by token."""
    if encoded.text_features is not None or network.modalities == "image" or not isinstance(network.fusion, Concat):
        return encoded
    return replace(encoded, text_features=text_features(network.text, encoded))


def text_features(tower: TextEncoder | NoText, encoded: EncodedDataset) -> NDArray[np.float32]:
    """float32 (N, W) in the order of the examples. A cached feature is named by the token ids, the tower's weights,
    its configuration and its pooling, so that a change of any of them misses the cache. Static vectors are quicker
    than the cache, and not kept."""
    if isinstance(tower, NoText):
        return np.zeros((len(encoded), 0), dtype=np.float32)
    cache = None if isinstance(tower.backbone, Static) else FeatureCache.of(tower, _name(tower), (tower.width,))
    hashes = [hashlib.sha256(np.array(ids, dtype=np.int64).tobytes()).hexdigest() for ids in encoded.token_ids]
    features = cache.read(set(hashes)) if cache else {}
    row_of = {name: row for row, name in enumerate(hashes) if name not in features}
    todo = sorted(row_of.items(), key=lambda item: len(encoded.token_ids[item[1]]))
    device, starts = default_device(), range(0, len(todo), BATCH)
    tower = tower.to(device).eval()
    with torch.no_grad():
        for start in track(starts, "text features", len(starts)):
            batch = todo[start : start + BATCH]
            padded = pad([encoded.token_ids[row] for _, row in batch], encoded.pad_id)
            pooled = tower(*(torch.from_numpy(array).to(device) for array in padded)).float().cpu().numpy()
            for (name, _), feature in zip(batch, pooled, strict=True):
                features[name] = feature
                if cache:
                    cache.write(name, feature)
    return np.stack([features[name] for name in hashes])


def _name(tower: TextEncoder) -> str:
    """What features depend on beside weights and texts."""
    config: Any = tower.backbone.config
    settings = {key: value for key, value in config.to_dict().items() if key not in IRRELEVANT}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    return f"text-{type(tower.backbone).__name__}-{tower.pooling}-{digest[:16]}"
