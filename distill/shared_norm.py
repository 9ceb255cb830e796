"""Batch norms whose batch is that of all processes. Knows BatchNorm2d, no network."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from distill import processes


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the parts of all processes, which are equally long (`processes.part_of`), on any device;
    torch's own SyncBatchNorm is for GPUs. In one process, and in eval mode, it is BatchNorm2d."""

    def forward(self, input: Tensor) -> Tensor:
        """As BatchNorm2d, float (B, C, H, W) to the same."""
        if not self.training or processes.count() == 1 or self.running_mean is None:
            return super().forward(input)
        x = input.float()
        mean = _Mean.apply(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = _Mean.apply(centred.square().mean((0, 2, 3)))
        self._remember(mean.detach(), variance.detach(), processes.count() * x.numel() // len(mean))
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


class _Mean(torch.autograd.Function):
    """The mean over processes. Each one's value moved the outputs of all, so the gradients' mean comes back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(value: Tensor) -> Tensor:
    result = value / processes.count()
    dist.all_reduce(result)
    return result
