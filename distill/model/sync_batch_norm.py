"""Synchronised batch norm on any device: statistics over the batch of all processes, as in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from distill.model import distributed

_batch_size: int | None = None
_counted: tuple[int, int] | None = None


@contextmanager
def global_batch_size(rows: int) -> Iterator[None]:
    """Within it, the parts of all processes make a batch of `rows`; rows that `distributed.shard` repeated beyond
    them do not count."""
    global _batch_size
    _batch_size = rows
    try:
        yield
    finally:
        _batch_size = None


@contextmanager
def counted_rows(own: int, total: int) -> Iterator[None]:
    """Within it, the first `own` rows of what this process passes on count, of `total` in all processes."""
    global _counted
    _counted = (own, total)
    try:
        yield
    finally:
        _counted = None


def own_rows(part: int) -> int:
    """How many of this process's rows, of which there are `part`, count: the first so many."""
    rows = part * distributed.world_size() if _batch_size is None else _batch_size
    return min(max(rows - distributed.rank() * part, 0), part)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the rows of all processes that count, within `counted_rows`, on CPUs too: torch's own
    SyncBatchNorm is for GPUs. In one process, and in eval mode, it is BatchNorm2d."""

    def forward(self, input: Tensor) -> Tensor:
        """As BatchNorm2d, float (B, C, H, W) to the same."""
        if not self.training or _counted is None or distributed.world_size() == 1 or self.running_mean is None:
            return super().forward(input)
        x, (own, rows) = input.float(), _counted
        values = rows * x[0, 0].numel()
        mean = _AllReduceSum.apply(x[:own].sum((0, 2, 3))) / values
        centred = x - mean[:, None, None]
        variance = _AllReduceSum.apply(centred[:own].square().sum((0, 2, 3))) / values
        self._update_running_statistics(mean.detach(), variance.detach(), values)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, values: int) -> None:
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (values / (values - 1)), share)


def convert_batch_norms(network: nn.Module) -> None:
    """Make every BatchNorm2d a SyncBatchNorm2d in place; its parameters, buffers and names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d


class _AllReduceSum(torch.autograd.Function):
    """The sum over processes. Each value changes the outputs of all, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _all_reduce_sum(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduce_sum(gradient)


def _all_reduce_sum(value: Tensor) -> Tensor:
    result = value.clone()
    dist.all_reduce(result)
    return result
