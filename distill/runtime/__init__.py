"""The runtime: what opens a Bundle on a device and predicts with it, without torch.

It needs distill.core, distill.preprocess, distill.data and distill.scoring too. The contract "What runs on a device
needs no torch, transformers or onnx" in pyproject.toml holds all five to that.
"""
