"""Quantisation-aware training (QAT) by fake quantisation: linear layers compute in float what int8 inference will
compute.

The arithmetic is that of onnxruntime's static quantisation, so that training sees what inference does: activations
are uint8 with one scale and zero point a tensor, weights symmetric int8 with one scale an output channel.
Gradients pass straight through the rounding (Bengio, Leonard and Courville 2013; Jacob et al. 2018, "Quantization
and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.model.checkpoint import ActivationRanges
from distill.model.network import TwoTowerNetwork

MOMENTUM = 0.02  # of the moving averages of the least and greatest activation


class FakeQuantLinear(nn.Linear):
    """A Linear layer in int8 arithmetic; `low` and `high`, the range of its input, are observed in training."""

    low: Tensor
    high: Tensor

    def __init__(self, linear: nn.Linear, weight_limit: int) -> None:
        """Shares the parameters of `linear`. Weights are quantised to +-weight_limit: 127, or 64 on processors
        where sums of 8-bit products overflow."""
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_limit = weight_limit
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        """As Linear, float (..., in) to float (..., out)."""
        if self.training:
            self._observe(input.detach())
        scale = ((self.high - self.low) / 255).clamp(min=1e-8)
        zero = torch.round(-self.low / scale).clamp(0, 255).to(torch.int32)
        x = torch.fake_quantize_per_tensor_affine(input, scale, zero, 0, 255)
        limit = self.weight_limit
        scales = (self.weight.detach().abs().amax(1) / limit).clamp(min=1e-12)
        zeros = torch.zeros(self.out_features, dtype=torch.int32, device=input.device)
        w = torch.fake_quantize_per_channel_affine(self.weight, scales, zeros, 0, -limit, limit)
        return F.linear(x, w, self.bias)

    def _observe(self, x: Tensor) -> None:
        low, high = x.min().clamp(max=0.0), x.max().clamp(min=0.0)
        if self.low == self.high:  # nothing observed yet
            self.low.copy_(low)
            self.high.copy_(high)
        else:
            self.low.lerp_(low, MOMENTUM)
            self.high.lerp_(high, MOMENTUM)


def insert_fake_quant(network: TwoTowerNetwork, weight_limit: int) -> None:
    """Replace every Linear layer by a FakeQuantLinear, in place, but for those of a tower that is left out."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Linear and not network.leaves_out(name):
            _replace(network, name, FakeQuantLinear(module, weight_limit))


def remove_fake_quant(network: nn.Module) -> ActivationRanges:
    """Put Linear layers with the trained parameters back, in place; returns the observed ranges."""
    ranges: ActivationRanges = {}
    for name, module in list(network.named_modules()):
        if isinstance(module, FakeQuantLinear):
            ranges[name] = (float(module.low), float(module.high))
            linear = nn.Linear(module.in_features, module.out_features, module.bias is not None, device="meta")
            linear.weight, linear.bias = module.weight, module.bias
            _replace(network, name, linear)
    return ranges


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)
