"""transformers' Trainer in several processes that share every batch, so that they train as one process does.

Trainer itself gives each process batches of its own, and the mean of their losses. A loss over the batch, such as
label correlations, and batch norms need the whole one.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import Trainer

from distill.model import distributed
from distill.model.dataset import TARGETS, DatasetItem, EncodedDataset, LengthGroupedSampler

ROWS = "rows"  # in a flat batch: the row numbers of its examples, in all processes


class RowDataset(Dataset["tuple[int, RowDataset]"]):
    """The row numbers of a dataset: each process knows the whole batch, and reads only its own part of it."""

    def __init__(self, encoded: EncodedDataset, sampler: LengthGroupedSampler | None = None) -> None:
        """With the sampler of a training, which knows the epoch, examples are augmented."""
        self.encoded = encoded
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> tuple[int, RowDataset]:
        return row, self

    def read(self, row: int) -> DatasetItem:
        """The example of this row."""
        return self.encoded[row] if self.sampler is None else self.encoded.augmented(row, self.sampler.epoch)


def collate_shard(items: list[tuple[int, RowDataset]]) -> dict[str, Tensor]:
    """This process's part of a batch, flat, with the ROWS of the whole batch."""
    rows, dataset = [row for row, _ in items], items[0][1]
    part = [dataset.read(row) for row in distributed.shard(rows)]
    return dataset.encoded.collate(part).flat() | {ROWS: torch.tensor(rows)}


class DistributedTrainer(Trainer):
    """Trainer whose processes all iterate over the same batches: the network's inputs are this process's part, the
    targets those of the whole batch.

    In one process it is Trainer. Subclasses set `sampler`, that of the training examples.
    """

    sampler: Sampler[int]
    batch_rows: int  # of the current batch

    def get_train_dataloader(self) -> Any:
        """Whole batches, in each process."""
        if distributed.world_size() == 1:
            return super().get_train_dataloader()
        return self._whole_batches(self.train_dataset, self.args.per_device_train_batch_size, self.sampler)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Whole batches, in each process."""
        if distributed.world_size() == 1:
            return super().get_eval_dataloader(eval_dataset)
        return self._whole_batches(self.eval_dataset, self.args.per_device_eval_batch_size, None)

    def _whole_batches(self, examples: Any, size: int, sampler: Sampler[int] | None) -> Any:
        loader = DataLoader(examples, size, sampler=sampler, collate_fn=self.data_collator)
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return self.sampler

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Trainer's, with the targets of the whole batch."""
        ready: dict[str, Any] = super()._prepare_inputs(inputs)
        self.batch_rows = len(ready[ROWS])
        targets = {n: distributed.all_gather(ready[n])[: self.batch_rows] for n in TARGETS if n in ready}
        return ready | targets

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's; in several processes, of the network that the first one saves."""
        if distributed.world_size() > 1:
            distributed.broadcast_buffers(self.model)
            self.gather_function = self._gathered_already
        return super().evaluate(*args, **kwargs)

    def _gathered_already(self, values: Any) -> Any:
        """In place of Trainer's gathering: every process has the logits of the whole batch. Trainer repeats its
        loss for a full batch; cut off, it weighs as much as the batch has rows."""
        return values[: self.batch_rows]
