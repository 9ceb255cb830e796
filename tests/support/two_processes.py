"""What each of two processes does in test_distributed.py: run commands, then compare a training step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distill.cli.main import main
from distill.model import distributed
from distill.training.sync_batch_norm import convert_batch_norms, global_batch_size


def network() -> nn.Module:
    """Convolutions with a batch norm between them."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten())


def loss(outputs: Tensor) -> Tensor:
    """One that is no mean of what it is of each example."""
    return torch.corrcoef(outputs.T)[0, 1] + outputs.square().mean().sqrt()


def compare_a_step(rows: int) -> None:
    """The gradients and buffers of a batch with batch norms, in parts and in one."""
    pixels = torch.randn(rows, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    whole, divided = network(), network()
    loss(whole(pixels)).backward()
    convert_batch_norms(divided)
    parallel = DistributedDataParallel(divided)  # named, as its hooks go with it
    with global_batch_size(rows):
        part = parallel(pixels[distributed.shard(range(rows))])
    loss(distributed.all_gather(part)[:rows]).backward()
    for ours, theirs in zip(divided.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(divided.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    if distributed.rank() == 0:
        print(f"gradients of {rows} rows are those of one process", file=sys.stderr)


tasks = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
for words in tasks["commands"]:
    main(words, standalone_mode=False)
distributed.init_process_group()
compare_a_step(8)
compare_a_step(7)  # one row is repeated, and does not count
distributed.destroy_process_group()
