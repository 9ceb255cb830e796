"""Examples as a torch dataset and its batches. Knows tensors and padding, not networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from distill.model.augment.image import ImageAugmenter
from distill.model.augment.text import TextAugmenter, Words
from distill.model.soft_targets import Soft
from distill.preprocess.images import ImageSpec, image_to_uint8, normalise
from distill.preprocess.text import pad

Modality = Literal["text", "image"]


@dataclass(frozen=True)
class Wanted:
    """What a batch's outputs are measured against: labels float (B, L); labelled bool (B,), whether an example
    has labels at all; and a teacher's outputs, None in validation and where nobody teaches."""

    labels: Tensor
    labelled: Tensor
    soft_logits: Tensor | None = None
    soft_text: Tensor | None = None
    soft_image: Tensor | None = None


WANTED = tuple(field.name for field in fields(Wanted))


@dataclass(frozen=True)
class Changes:
    """How N examples are changed in training: their texts' words, by `text`; their images, by `images` when
    they are decoded, or as `views` float32 (N, K, *D), K cached features of each. None changes nothing."""

    seed: int
    text: TextAugmenter | None
    words: list[Words]
    images: ImageAugmenter | None
    views: NDArray[np.float32] | None

    def subset(self, rows: NDArray[np.int64]) -> Changes:
        """Those of these rows."""
        words = [self.words[row] for row in rows] if self.text is not None else []
        return replace(self, words=words, views=None if self.views is None else self.views[rows])


@dataclass(frozen=True)
class Encoded(Dataset[dict[str, Any]]):
    """N examples, named by their ids: token ids, targets float32 (N, L), labelled bool (N,), present float32
    (N, 2) (has a text, has an image), perhaps a teacher's outputs, and the images either as cached features
    float32 (N, D) or as files that are decoded when asked for. `changes` is for training on them."""

    names: list[str]
    ids: list[list[int]]
    targets: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    present: NDArray[np.float32]
    images: list[Path | None]
    image: ImageSpec
    pad_id: int
    features: NDArray[np.float32] | None
    soft: Soft | None
    changes: Changes | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {
            "ids": self.ids[index],
            "present": self.present[index],
            "labels": self.targets[index],
            "labelled": self.labelled[index],
        }
        image = self.images[index]
        if self.features is not None:
            item["image_features"] = self.features[index]
        elif image is None:
            item["pixels"] = np.zeros((self.image.size, self.image.size, 3), dtype=np.uint8)
        else:
            item["pixels"] = image_to_uint8(image, self.image)
        if self.soft is not None:
            item["soft_logits"] = self.soft.logits[index]
            item["soft_text"] = self.soft.text[index]
            item["soft_image"] = self.soft.image[index]
        return item

    def drawn(self, index: int, epoch: int) -> dict[str, Any]:
        """An example as training sees it in this epoch: the same whenever it is asked for. `self[index]` where
        nothing is augmented."""
        if self.changes is None:
            return self[index]
        generator = np.random.default_rng((self.changes.seed, epoch, index))
        return self[index] | self._changed(self.changes, index, generator)

    def _changed(self, changes: Changes, index: int, generator: np.random.Generator) -> dict[str, Any]:
        item: dict[str, Any] = {}
        if changes.text is not None:
            item["ids"] = changes.text.ids(changes.words[index], generator)
        image = self.images[index]
        if changes.views is not None:
            view = generator.integers(1 + changes.views.shape[1])
            if view > 0:
                item["image_features"] = changes.views[index, view - 1]
        elif changes.images is not None and image is not None:
            item["pixels"] = changes.images.pixels(image, self.image, int(generator.integers(1 << 32)))
        return item

    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(row) for row in self.ids]

    def subset(self, rows: NDArray[np.int64]) -> Encoded:
        """The examples of these rows."""
        return replace(
            self,
            names=[self.names[row] for row in rows],
            ids=[self.ids[row] for row in rows],
            targets=self.targets[rows],
            labelled=self.labelled[rows],
            present=self.present[rows],
            images=[self.images[row] for row in rows],
            features=None if self.features is None else self.features[rows],
            soft=None if self.soft is None else self.soft.subset(rows),
            changes=None if self.changes is None else self.changes.subset(rows),
        )

    def without(self, modality: Modality) -> Encoded:
        """The same examples, every one of which lacks its text or its image."""
        kept = np.array([[modality != "text", modality != "image"]], dtype=np.float32)
        return replace(self, present=self.present * kept)

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch, texts padded to its longest: the arguments of `TwoTowerNetwork.outputs` and the fields of
        `Wanted`. Trainer calls the training set's for the items of both sets."""
        input_ids, attention_mask = pad([item["ids"] for item in items], self.pad_id)
        arrays = {name: np.stack([item[name] for item in items]) for name in items[0] if name != "ids"}
        if "pixels" in arrays:
            arrays["pixels"] = normalise(arrays["pixels"], self.image)
        arrays |= {"input_ids": input_ids, "attention_mask": attention_mask}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class LengthGroups(Sampler[int]):
    """Random order in which neighbours have like lengths, so that batches hold little padding.

    The order depends on the seed and the epoch alone, so a resumed epoch sees what an unbroken one saw. With
    `drop_lone`, an example that would be a last batch of one, which has no variance for batch norms, waits
    for another epoch.
    """

    POOL = 25  # batches that are sorted together; random beyond that

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, drop_lone: bool = False) -> None:
        self.lengths = np.asarray(lengths)
        self.lone = drop_lone and len(lengths) > 1 and len(lengths) % batch_size == 1
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths) - self.lone

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))[: len(self)]
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
