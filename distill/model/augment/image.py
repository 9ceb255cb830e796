"""Images changed a little for training: cropped, recoloured, grey, compressed again. Knows pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from distill.preprocess.images import MAX_SIZE, ImageSpec, image_to_uint8

ROOM = 1.25  # an image is read so much larger that a crop of it need not be stretched


@dataclass(frozen=True)
class ImageAugmenter:
    """`strength` in (0, 1]: 1 leaves as little as half of an image's area, changes brightness, contrast and
    saturation by half, and makes one in five grey. Nothing is mirrored: memes hold writing.

    The operations are torchvision's (transforms.v2). Half of the images are compressed again, as
    those are that people pass on.
    """

    strength: float

    def pixels(self, image: Path, spec: ImageSpec, seed: int) -> NDArray[np.uint8]:
        """uint8 (size, size, 3), the same for the same seed. Raises ImageError."""
        large = image_to_uint8(image, replace(spec, size=min(MAX_SIZE, round(ROOM * spec.size))))
        s = self.strength
        change = v2.Compose(
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
            changed = change(torch.tensor(large).permute(2, 0, 1))
        return np.ascontiguousarray(changed.permute(1, 2, 0).numpy())
