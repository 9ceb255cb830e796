"""The torch dataset of encoded examples, its batches, and a sampler of batches with little padding."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from distill.data.duplicates import image_groups
from distill.data.groups import GroupColumns
from distill.data.image_facts import read_facts
from distill.model.augment.image import ImageAugmenter
from distill.model.augment.text import TextAugmenter, TokenizedText
from distill.model.outputs import Outputs
from distill.preprocess.images import ImageSpec, image_to_uint8, normalise
from distill.preprocess.text import pad

Modality = Literal["text", "image"]
TEACHER = "teacher_"  # prefix of a teacher's outputs in a flat batch
TARGETS = ("labels", *(f"{TEACHER}{name}" for name in ("logits", "text", "image")))


@dataclass(frozen=True)
class BatchTargets:
    """What a loss compares a batch's outputs with: `labels` float (B, L), NaN where unknown, and a
    teacher's outputs, None in validation and without a teacher."""

    labels: Tensor
    teacher: Outputs[Tensor] | None = None


@dataclass(frozen=True)
class Batch:
    """`inputs` are the arguments of `TwoTowerNetwork.outputs` by name."""

    inputs: dict[str, Tensor]
    targets: BatchTargets

    def flat(self) -> dict[str, Tensor]:
        """All tensors in one dict, as transformers' Trainer moves them to a device and passes them on."""
        tensors = self.inputs | {"labels": self.targets.labels}
        teacher = self.targets.teacher
        if teacher is not None:
            tensors |= {f"{TEACHER}{name}": tensor for name, tensor in vars(teacher).items()}
        return tensors

    @classmethod
    def from_flat(cls, tensors: Mapping[str, Tensor]) -> Batch:
        """The inverse of `flat`."""
        teacher = None
        if f"{TEACHER}logits" in tensors:
            teacher = Outputs(*(tensors[f"{TEACHER}{name}"] for name in ("logits", "text", "image")))
        inputs = {name: tensor for name, tensor in tensors.items() if name not in TARGETS}
        return cls(inputs, BatchTargets(tensors["labels"], teacher))


@dataclass(frozen=True)
class Augmentation:
    """How N examples are augmented in training: `text` changes the `tokenized` texts; `images` changes images when
    they are decoded, or, with a frozen image tower, `views` float32 (N, K, *D) hold the cached features of K
    augmented views of each. None changes nothing."""

    seed: int
    text: TextAugmenter | None
    tokenized: list[TokenizedText]
    images: ImageAugmenter | None
    views: NDArray[np.float32] | None

    def subset(self, rows: NDArray[np.int64]) -> Augmentation:
        """The augmentation of these rows alone."""
        tokenized = [self.tokenized[row] for row in rows] if self.text is not None else []
        return replace(self, tokenized=tokenized, views=None if self.views is None else self.views[rows])


@dataclass(frozen=True)
class DatasetItem:
    """One example of an EncodedDataset, with its image either as `features` float32 (*D) or as `pixels` uint8
    (H, W, 3), and with `text_features` float32 (W,) of a frozen text tower."""

    token_ids: list[int]
    present: NDArray[np.float32]
    labels: NDArray[np.float32]
    features: NDArray[np.float32] | None
    pixels: NDArray[np.uint8] | None
    text_features: NDArray[np.float32] | None
    teacher: Outputs[NDArray[np.float32]] | None


@dataclass(frozen=True)
class EncodedDataset(Dataset[DatasetItem]):
    """N examples: ids, token ids, targets float32 (N, L), NaN where unknown, present float32 (N, 2) (1 where there
    is a text, 1 where there is an image), and the images either as cached features float32 (N, *D) or as files that
    are decoded on access. `text_features` float32 (N, W) are those of a frozen text tower. A teacher's outputs and
    an augmentation are for training. Labels of `groups` exclude each other."""

    ids: list[str]
    token_ids: list[list[int]]
    targets: NDArray[np.float32]
    present: NDArray[np.float32]
    images: list[Path | bytes | None]
    image_spec: ImageSpec
    pad_id: int
    features: NDArray[np.float32] | None
    text_features: NDArray[np.float32] | None
    teacher: Outputs[NDArray[np.float32]] | None
    augmentation: Augmentation | None = None
    groups: GroupColumns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.token_ids)

    def __getitem__(self, index: int) -> DatasetItem:
        """Raises ImageError."""
        return DatasetItem(
            token_ids=self.token_ids[index],
            present=self.present[index],
            labels=self.targets[index],
            features=None if self.features is None else self.features[index],
            text_features=None if self.text_features is None else self.text_features[index],
            pixels=None if self.features is not None else self._pixels(self.images[index]),
            teacher=None if self.teacher is None else self.teacher.map(lambda array: array[index]),
        )

    def _pixels(self, image: Path | bytes | None) -> NDArray[np.uint8]:
        if image is None:
            return np.zeros((self.image_spec.size, self.image_spec.size, 3), dtype=np.uint8)
        return image_to_uint8(image, self.image_spec)

    def augmented(self, index: int, epoch: int) -> DatasetItem:
        """The item as training sees it in this epoch, the same on every call; `self[index]` where there is no
        augmentation. Raises ImageError."""
        if self.augmentation is None:
            return self[index]
        generator = np.random.default_rng((self.augmentation.seed, epoch, index))
        item, augmentation, image = self[index], self.augmentation, self.images[index]
        if augmentation.text is not None:
            token_ids = augmentation.text.augment(augmentation.tokenized[index], generator)
            item = replace(item, token_ids=token_ids)
        if augmentation.views is not None:
            view = generator.integers(1 + augmentation.views.shape[1])
            if view > 0:
                item = replace(item, features=augmentation.views[index, view - 1])
        elif augmentation.images is not None and image is not None:
            seed = int(generator.integers(1 << 32))
            item = replace(item, pixels=augmentation.images.augment(image, self.image_spec, seed))
        return item

    def lengths(self) -> list[int]:
        """How many tokens each example has."""
        return [len(row) for row in self.token_ids]

    def batches_by_length(self, size: int) -> list[NDArray[np.int64]]:
        """The rows in batches of `size`, in each of which the texts are about as long."""
        order = np.argsort(self.lengths(), kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    def content_keys(self) -> list[list[Hashable]]:
        """For each example what those have in common that are the same to a model: its tokens, and what its image
        looks like."""
        rows = zip(self.token_ids, image_groups(read_facts(self.images)), self.present, strict=True)
        return [
            [*([tuple(ids)] if has_text else []), *([] if look is None else [look])]
            for ids, look, (has_text, _) in rows
        ]

    def subset(self, rows: NDArray[np.int64]) -> EncodedDataset:
        """The examples of these rows."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            token_ids=[self.token_ids[row] for row in rows],
            targets=self.targets[rows],
            present=self.present[rows],
            images=[self.images[row] for row in rows],
            features=None if self.features is None else self.features[rows],
            text_features=None if self.text_features is None else self.text_features[rows],
            teacher=None if self.teacher is None else self.teacher.map(lambda array: array[rows]),
            augmentation=None if self.augmentation is None else self.augmentation.subset(rows),
        )

    def without(self, modality: Modality) -> EncodedDataset:
        """The same examples, all without their text or all without their image."""
        kept = np.array([[modality != "text", modality != "image"]], dtype=np.float32)
        return replace(self, present=self.present * kept)

    def collate(self, items: Sequence[DatasetItem]) -> Batch:
        """A batch of items of this dataset, padded to its longest text."""
        input_ids, attention_mask = pad([item.token_ids for item in items], self.pad_id)
        inputs: dict[str, NDArray[np.generic]] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "present": np.stack([item.present for item in items]),
        }
        if self.features is not None:
            inputs["image_features"] = np.stack([item.features for item in items if item.features is not None])
        else:
            pixels = np.stack([item.pixels for item in items if item.pixels is not None])
            inputs["pixels"] = normalise(pixels, self.image_spec)
        if self.text_features is not None:
            inputs["text_features"] = np.stack(
                [item.text_features for item in items if item.text_features is not None]
            )
        rows = [item.teacher for item in items if item.teacher is not None]
        teacher = None
        if rows:
            columns = zip(*((row.logits, row.text, row.image) for row in rows), strict=True)
            teacher = Outputs(*(torch.from_numpy(np.stack(column)) for column in columns))
        labels = torch.from_numpy(np.stack([item.labels for item in items]))
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return Batch(tensors, BatchTargets(labels, teacher))


class LengthGroupedSampler(Sampler[int]):
    """A random order in which neighbours have similar lengths, so that batches hold little padding.

    The order depends on the seed and the epoch alone, so a resumed epoch sees what an uninterrupted one saw. With
    `drop_last_single`, an example that would be the last batch by itself, whose variance batch norms could not
    compute, is left out of this epoch.
    """

    POOL = 25  # batches that are sorted together

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, drop_last_single: bool = False) -> None:
        self.lengths = np.asarray(lengths)
        self.dropped = drop_last_single and len(lengths) > 1 and len(lengths) % batch_size == 1
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths) - self.dropped

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch; the training loop calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))[: len(self)]
        pool = self.POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(-self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        last = [batch for batch in batches if len(batch) < self.batch_size]  # a short batch stays last
        full = [batch for batch in batches if len(batch) == self.batch_size]
        for index in generator.permutation(len(full)):
            yield from map(int, full[index])
        for batch in last:
            yield from map(int, batch)
