"""Examples as a torch data set and its batches. Knows tensors and padding, not networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from distill.preprocess import PictureSpec, normalise, pad, picture_to_uint8


@dataclass(frozen=True)
class Encoded(Dataset[dict[str, Any]]):
    """N examples: token ids, targets float32 (N, L), perhaps a teacher's logits float32 (N, L), and the
    pictures either as cached features float32 (N, D) or as files that are decoded when asked for."""

    ids: list[list[int]]
    targets: NDArray[np.float32]
    images: list[Path]
    picture: PictureSpec
    pad_id: int
    features: NDArray[np.float32] | None
    soft: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {"ids": self.ids[index], "labels": self.targets[index]}
        if self.features is not None:
            item["features"] = self.features[index]
        else:
            item["pixels"] = picture_to_uint8(self.images[index], self.picture)
        if self.soft is not None:
            item["soft"] = self.soft[index]
        return item

    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(row) for row in self.ids]

    def subset(self, rows: NDArray[np.int64]) -> Encoded:
        """The examples of these rows."""
        return Encoded(
            ids=[self.ids[row] for row in rows],
            targets=self.targets[rows],
            images=[self.images[row] for row in rows],
            picture=self.picture,
            pad_id=self.pad_id,
            features=None if self.features is None else self.features[rows],
            soft=None if self.soft is None else self.soft[rows],
        )

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch, texts padded to its longest: the arguments of `DualBranch.forward`, and `labels` and
        `soft` float32 (B, L). Trainer calls the training set's for the items of both sets."""
        input_ids, attention_mask = pad([item["ids"] for item in items], self.pad_id)
        batch = {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention_mask),
            "labels": torch.from_numpy(np.stack([item["labels"] for item in items])),
        }
        if "features" in items[0]:
            batch["picture_features"] = torch.from_numpy(np.stack([item["features"] for item in items]))
        else:
            pixels = normalise(np.stack([item["pixels"] for item in items]), self.picture)
            batch["pixels"] = torch.from_numpy(pixels)
        if "soft" in items[0]:
            batch["soft"] = torch.from_numpy(np.stack([item["soft"] for item in items]))
        return batch


class LengthGroups(Sampler[int]):
    """Random order in which neighbours have like lengths, so that batches hold little padding.

    The order depends on the seed and the epoch alone, so a resumed epoch sees what an unbroken one saw.
    """

    POOL = 25  # batches that are sorted together; random beyond that

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        pool = self.POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(-self.lengths[part], kind="stable")]
            batches += [part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)]
        last = [batch for batch in batches if len(batch) < self.batch_size]  # a short batch stays last
        full = [batch for batch in batches if len(batch) == self.batch_size]
        for index in generator.permutation(len(full)):
            yield from map(int, full[index])
        for batch in last:
            yield from map(int, batch)
