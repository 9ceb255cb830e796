"""transformers' Trainer with every batch divided among processes. Knows rows and parts, no network and no loss."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import Trainer

from distill.model import distributed as processes
from distill.model.dataset import TARGETS, EncodedDataset, Item, LengthGroups

ROWS = "rows"  # of a batch: which examples it is made of


class Rows(Dataset["tuple[int, Rows]"]):
    """The rows of a set, so that a batch can be named, and only this process's part of it is read."""

    def __init__(self, encoded: EncodedDataset, order: LengthGroups | None = None) -> None:
        """With the order of a training, which knows its epoch, examples are augmented."""
        self.encoded = encoded
        self.order = order

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> tuple[int, Rows]:
        return row, self

    def read(self, row: int) -> Item:
        """The example of this row."""
        return self.encoded[row] if self.order is None else self.encoded.augmented(row, self.order.epoch)


def collate(items: list[tuple[int, Rows]]) -> dict[str, Tensor]:
    """This process's part of a batch of rows, and the rows of the whole batch."""
    numbers, examples = [number for number, _ in items], items[0][1]
    part = [examples.read(number) for number in processes.part_of(numbers)]
    return examples.encoded.collate(part).flat() | {ROWS: torch.tensor(numbers)}


class DividedTrainer(Trainer):
    """Trainer gives each process batches of its own; this one gives all of them the same, of which each takes its
    part. The network's inputs are then those of the part, and what is wanted is that of the whole batch.

    In one process it is Trainer. Subclasses set `order`, that of the training examples.
    """

    order: Sampler[int]
    rows: int  # of the batch before

    def get_train_dataloader(self) -> Any:
        """Whole batches, in each process."""
        if processes.count() == 1:
            return super().get_train_dataloader()
        return self._whole_batches(self.train_dataset, self.args.per_device_train_batch_size, self.order)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Whole batches, in each process."""
        if processes.count() == 1:
            return super().get_eval_dataloader(eval_dataset)
        return self._whole_batches(self.eval_dataset, self.args.per_device_eval_batch_size, None)

    def _whole_batches(self, examples: Any, size: int, order: Sampler[int] | None) -> Any:
        loader = DataLoader(examples, size, sampler=order, collate_fn=self.data_collator)
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return self.order

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Trainer's, with what is wanted of the whole batch."""
        ready: dict[str, Any] = super()._prepare_inputs(inputs)
        self.rows = len(ready[ROWS])
        return ready | {name: processes.gathered(ready[name])[: self.rows] for name in TARGETS if name in ready}

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's; several processes measure the network that the first one saves."""
        if processes.count() > 1:
            processes.share_buffers(self.model)
            self.gather_function = self._of_the_batch
        return super().evaluate(*args, **kwargs)

    def _of_the_batch(self, values: Any) -> Any:
        """In place of Trainer's gathering, as every process has the whole batch's logits: its loss, which Trainer
        repeats for as many rows as a full batch has, weighs as much as a short batch has rows."""
        return values[: self.rows]
