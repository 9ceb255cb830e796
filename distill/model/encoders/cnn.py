"""A small convolutional network that is trained from scratch (`image.model = "cnn"`), as a baseline."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

CHANNELS = (32, 64, 128, 256)


def small_cnn() -> nn.Sequential:
    """Blocks of convolution, batch norm, ReLU and pooling: pixels float (B, 3, H, W) to (B, 256, 1, 1). Its
    `features` give the grid before the last pooling."""
    blocks: list[nn.Module] = []
    for in_channels, out_channels in zip((3, *CHANNELS), CHANNELS, strict=False):
        blocks += [
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(OrderedDict(features=nn.Sequential(*blocks), pool=nn.AdaptiveAvgPool2d(1)))
