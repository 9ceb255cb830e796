"""The image tower in training: it runs on the examples that have an image, whatever else is in the batch.

An example without one has a blank in its place, which the network ignores; batch norms would not. Many equal
blanks pull their running variances to 0, and every rounding error then grows a thousandfold in a served model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from distill.model import distributed
from distill.model.sync_batch_norm import counted_rows, own_rows


def train_on_images(tower: nn.Module, pixels: Tensor, has_image: Tensor, zeros: Callable[[], Tensor]) -> Tensor:
    """Features float (B, *D) from pixels (B, 3, H, W) and has_image (B,), which is 0 for an example without an
    image; `zeros` makes the features of those. In several processes, a part of the batch of all."""
    rows = torch.nonzero(has_image).squeeze(1)
    own = int((rows < own_rows(len(pixels))).sum())
    total = int(distributed.all_reduce_sum(np.array([own], dtype=np.float32))[0])
    if total == 0:
        return zeros()
    if len(rows) == 0:  # the batch norms of the other processes wait for this one, whose blank does not count
        rows = rows.new_zeros(1)
    if total == 1:  # a single image has no variance over images: its batch norms use the running statistics
        tower.eval()
    try:
        with counted_rows(own, total):
            features: Tensor = tower(pixels[rows])
    finally:
        tower.train()
    features = features * has_image[rows].to(features.dtype).reshape(-1, *[1] * (features.ndim - 1))
    return features.new_zeros((len(pixels), *features.shape[1:])).index_copy(0, rows, features)
