"""The feature cache of a frozen image tower: each image runs through it once, then its features come from disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.output.terminal import note, track
from distill.data.dataset import Example
from distill.data.image_facts import image_hash
from distill.model import distributed
from distill.model.augment.image import ImageAugmenter
from distill.model.encoders.image import ImageEncoder
from distill.model.feature_cache import FeatureCache, Features
from distill.preprocess.images import ImageSpec, image_to_uint8, normalise

BATCH = 16
AUGMENT_VERSION = "v1"  # raise it with every change of ImageAugmenter, which must miss the cache


@dataclass(frozen=True)
class AugmentedView:
    """One of several augmented versions of each image; its `number` and the image decide what it looks like."""

    augmenter: ImageAugmenter
    number: int

    def pixels(self, image: Path | bytes, content_hash: str, spec: ImageSpec) -> NDArray[np.uint8]:
        """uint8 (size, size, 3) of an image whose content has the SHA-256 `content_hash`. Raises ImageError."""
        return self.augmenter.augment(image, spec, seed=int(content_hash[:12], 16) + self.number)


@dataclass(frozen=True)
class FeatureExtractor:
    """A frozen encoder on its device, the preprocessing of its images, and the view of them that it sees."""

    encoder: ImageEncoder
    spec: ImageSpec
    device: torch.device
    view: AugmentedView | None = None

    def features(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, *encoder.shape) in the order of the examples; zeros for one without an image.

        A cached feature is named by the image's content, the encoder's weights and the preprocessing, so that a
        change of any of them misses the cache. Raises ImageError.
        """
        cache = self._cache()
        images = [example.image for example in examples]
        content_hashes = ["" if image is None else image_hash(image) for image in images]
        features = {"": np.zeros(self.encoder.shape, dtype=np.float32)}
        features |= cache.read(set(content_hashes) - {""})
        missing = {c: i for c, i in zip(content_hashes, images, strict=True) if i is not None and c not in features}
        if missing:
            what = "image features" if self.view is None else f"image features, view {self.view.number}"
            note(f"{what}: {len(missing)} to compute, {len(content_hashes) - len(missing)} from the cache")
        todo = list(missing.items())
        distributed.barrier()  # every process has read the cache before one of them writes to it
        features |= self._compute(cache, todo[distributed.rank() :: distributed.world_size()])
        distributed.barrier()
        features |= cache.read(set(missing) - set(features))  # what the other processes computed
        features |= self._compute(cache, [pair for pair in todo if pair[0] not in features])
        return np.stack([features[content_hash] for content_hash in content_hashes])

    def _cache(self) -> FeatureCache:
        colours = hashlib.sha256(repr((self.spec.mean, self.spec.std)).encode()).hexdigest()[:8]
        name = f"{self.spec.fit}-{self.spec.size}-{colours}{'-grid' * self.encoder.grid}"
        if self.view is not None:
            name += f"-{AUGMENT_VERSION}-{self.view.augmenter.strength:g}-{self.view.number}"
        return FeatureCache.of(self.encoder, name, self.encoder.shape)

    def _compute(self, cache: FeatureCache, images: list[tuple[str, Path | bytes]]) -> dict[str, Features]:
        """Features by the content of the images; each is also written to the cache if possible."""
        computed = {}
        starts = range(0, len(images), BATCH)
        for start in track(starts, "image features", len(starts)):
            batch = images[start : start + BATCH]
            pixels = np.stack([self._pixels(content_hash, image) for content_hash, image in batch])
            outputs = _run(self.encoder, normalise(pixels, self.spec), self.device)
            for (content_hash, _), feature in zip(batch, outputs, strict=True):
                cache.write(content_hash, feature)
                computed[content_hash] = feature
        return computed

    def _pixels(self, content_hash: str, image: Path | bytes) -> NDArray[np.uint8]:
        if self.view is None:
            return image_to_uint8(image, self.spec)
        return self.view.pixels(image, content_hash, self.spec)


def _run(encoder: ImageEncoder, pixels: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    encoder.eval()
    with torch.no_grad():
        outputs: NDArray[np.float32] = encoder(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
    return outputs
