"""What each of two processes does in test_processes.py: commands, one after another, then a step of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distill.cli.main import main
from distill.model import distributed as processes
from distill.training.batch_norm import batch_of, share_batch_norms


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
    one, two = network(), network()
    loss(one(pixels)).backward()
    share_batch_norms(two)
    parallel = DistributedDataParallel(two)  # named, as its hooks go with it
    with batch_of(rows):
        part = parallel(pixels[processes.part_of(range(rows))])
    loss(processes.gathered(part)[:rows]).backward()
    for ours, theirs in zip(two.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(two.buffers(), one.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    if processes.rank() == 0:
        print(f"gradients of {rows} rows are those of one process", file=sys.stderr)


asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
for words in asked["commands"]:
    main(words, standalone_mode=False)
processes.start("train-teacher")
compare_a_step(8)
compare_a_step(7)  # one row is repeated, and does not count
processes.end()
