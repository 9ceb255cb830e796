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
from distill.model.image_rows import train_on_images
from distill.model.sync_batch_norm import convert_batch_norms, global_batch_size


def network() -> nn.Module:
    """Convolutions with a batch norm between them."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten())


def loss(outputs: Tensor) -> Tensor:
    """One that is no mean of what it is of each example."""
    return torch.corrcoef(outputs.T)[0, 1] + outputs.square().mean().sqrt()


class OnImages(nn.Module):
    """A network that is trained on the rows with an image."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = network()

    def forward(self, pixels: Tensor, has_image: Tensor) -> Tensor:
        """Float (B, 2), zeros for the rows without one."""
        return train_on_images(self.tower, pixels, has_image, lambda: pixels.new_zeros(len(pixels), 2)) + 0.01


def compare_a_step(has_image: list[int]) -> None:
    """The gradients and buffers of a batch with batch norms, in parts and in one; rows without an image leave no
    trace in either."""
    rows, present = len(has_image), torch.tensor(has_image, dtype=torch.float32)
    pixels = torch.randn(rows, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    whole, divided = network(), OnImages()
    features = whole(pixels[present > 0]) if sum(has_image) > 1 else whole.eval()(pixels[present > 0])
    expected = torch.zeros(rows, 2).index_copy(0, torch.nonzero(present).squeeze(1), features) + 0.01
    loss(expected).backward()
    convert_batch_norms(divided)
    parallel = DistributedDataParallel(divided, find_unused_parameters=True)  # named, as its hooks go with it
    shard = distributed.shard(range(rows))
    with global_batch_size(rows):
        part = parallel(pixels[shard], present[shard])
    loss(distributed.all_gather(part)[:rows]).backward()
    for ours, theirs in zip(divided.tower.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(divided.tower.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    if distributed.rank() == 0:
        print(f"gradients of {rows} rows with {sum(has_image)} images are those of one process", file=sys.stderr)


tasks = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
for words in tasks["commands"]:
    main(words, standalone_mode=False)
distributed.init_process_group()
compare_a_step([1] * 8)
compare_a_step([1] * 7)  # one row is repeated, and does not count
compare_a_step([1, 0, 1, 1, 0, 1, 0])  # the repeated one is the first, which has an image
compare_a_step([0, 0, 0, 0, 1, 1, 0, 1])  # one process has none
compare_a_step([0, 0, 1, 0])  # one image alone has no variance
distributed.destroy_process_group()
