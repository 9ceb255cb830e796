"""Batch norms whose batch is that of all processes. Knows BatchNorm2d, no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from distill.model import distributed as processes

_rows: int | None = None


@contextmanager
def batch_of(rows: int) -> Iterator[None]:
    """Within it, the parts of all processes make a batch of so many rows; what goes beyond was repeated
    (`processes.part_of`) and is not counted."""
    global _rows
    _rows = rows
    try:
        yield
    finally:
        _rows = None


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the parts of all processes, which are equally long (`processes.part_of`), on any device;
    torch's own SyncBatchNorm is for GPUs. In one process, and in eval mode, it is BatchNorm2d."""

    def forward(self, input: Tensor) -> Tensor:
        """As BatchNorm2d, float (B, C, H, W) to the same."""
        if not self.training or processes.count() == 1 or self.running_mean is None:
            return super().forward(input)
        x, part = input.float(), len(input)
        rows = part * processes.count() if _rows is None else _rows
        own = min(max(rows - processes.rank() * part, 0), part)
        values = rows * x[0, 0].numel()
        mean = _Sum.apply(x[:own].sum((0, 2, 3))) / values
        centred = x - mean[:, None, None]
        variance = _Sum.apply(centred[:own].square().sum((0, 2, 3))) / values
        self._remember(mean.detach(), variance.detach(), values)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, values: int) -> None:
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (values / (values - 1)), share)


def share_batch_norms(network: nn.Module) -> None:
    """Let every BatchNorm2d see the batches of all processes. Its parameters, buffers and names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d


class _Sum(torch.autograd.Function):
    """The sum over processes. Each one's value moved the outputs of all, so the gradients' sum comes back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _sum(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(value: Tensor) -> Tensor:
    result = value.clone()
    dist.all_reduce(result)
    return result
