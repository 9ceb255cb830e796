"""Linear layers that compute in float what int8 will compute. Knows torch modules, no training.

The arithmetic is that of onnxruntime's static quantisation, so that what is trained is what runs: activations
uint8 with one scale and zero point a tensor, weights int8, symmetric, with one scale an output channel.
Gradients pass straight through the rounding (Bengio, Leonard and Courville 2013; Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.02  # of the moving least and greatest activation
Ranges = dict[str, tuple[float, float]]


class FakeQuantLinear(nn.Linear):
    """A Linear layer in int8 arithmetic; `low` and `high` are the range of its input, learned while training."""

    low: Tensor
    high: Tensor

    def __init__(self, linear: nn.Linear, weight_limit: int) -> None:
        """Shares the parameters of `linear`. Weights go to -weight_limit ... weight_limit: 127, or 64 where
        8-bit products would overflow."""
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_limit = weight_limit
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        """As Linear, float (..., in) to float (..., out)."""
        if self.training:
            self._watch(input.detach())
        scale = ((self.high - self.low) / 255).clamp(min=1e-8)
        zero = torch.round(-self.low / scale).clamp(0, 255).to(torch.int32)
        x = torch.fake_quantize_per_tensor_affine(input, scale, zero, 0, 255)
        limit = self.weight_limit
        scales = (self.weight.detach().abs().amax(1) / limit).clamp(min=1e-12)
        zeros = torch.zeros(self.out_features, dtype=torch.int32, device=input.device)
        w = torch.fake_quantize_per_channel_affine(self.weight, scales, zeros, 0, -limit, limit)
        return F.linear(x, w, self.bias)

    def _watch(self, x: Tensor) -> None:
        low, high = x.min().clamp(max=0.0), x.max().clamp(min=0.0)
        if self.low == self.high:  # nothing seen yet
            self.low.copy_(low)
            self.high.copy_(high)
        else:
            self.low.lerp_(low, MOMENTUM)
            self.high.lerp_(high, MOMENTUM)


def prepare(network: nn.Module, weight_limit: int) -> None:
    """Put a FakeQuantLinear in the place of every Linear layer."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Linear:
            _put(network, name, FakeQuantLinear(module, weight_limit))


def strip(network: nn.Module) -> Ranges:
    """Put the Linear layers back, with what they learned; the range of each one's input, by its name."""
    ranges: Ranges = {}
    for name, module in list(network.named_modules()):
        if isinstance(module, FakeQuantLinear):
            ranges[name] = (float(module.low), float(module.high))
            plain = nn.Linear(module.in_features, module.out_features, module.bias is not None, device="meta")
            plain.weight, plain.bias = module.weight, module.bias
            _put(network, name, plain)
    return ranges


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)
