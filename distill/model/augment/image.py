"""Image augmentation: random crops, colour jitter, greyscale and JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from distill.preprocess.images import MAX_SIZE, ImageSpec, image_to_uint8

MARGIN = 1.25  # images are read this much larger, so that a crop need not be scaled up


@dataclass(frozen=True)
class ImageAugmenter:
    """Augments with torchvision.transforms.v2. At a `strength` of 1, crops keep as little as half of the area;
    brightness, contrast and saturation change by up to half; one image in five turns grey. Smaller strengths,
    above 0, change less. Half of the images are compressed again, as shared images are. Nothing is mirrored: memes
    contain text.
    """

    strength: float

    def augment(self, image: Path | bytes, spec: ImageSpec, seed: int) -> NDArray[np.uint8]:
        """uint8 (size, size, 3); the same seed gives the same result. Raises ImageError."""
        large = image_to_uint8(image, replace(spec, size=min(MAX_SIZE, round(MARGIN * spec.size))))
        s = self.strength
        transform = v2.Compose(
            [
                v2.RandomResizedCrop(
                    spec.size, scale=(1 - s / 2, 1), ratio=(1 - s / 4, 1 / (1 - s / 4)), antialias=True
                ),
                v2.ColorJitter(brightness=s / 2, contrast=s / 2, saturation=s / 2, hue=s / 20),
                v2.RandomGrayscale(s / 5),
                v2.RandomApply([v2.JPEG((30, 90))], 0.5),
            ]
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # manual_seed would move an accelerator's dropout too
            augmented = transform(torch.tensor(large).permute(2, 0, 1))
        return np.ascontiguousarray(augmented.permute(1, 2, 0).numpy())
