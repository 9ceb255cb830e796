"""Packages that not every installation has, and the extra that brings each. Knows their names, imports none."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "train": ("torch", "torchvision", "transformers", "accelerate", "optimum", "onnx", "safetensors"),
    "plots": ("matplotlib", "jinja2"),
    "serve": ("fastapi", "uvicorn", "starlette", "pydantic", "python_multipart", "prometheus_client"),
}


def can_plot() -> bool:
    """Whether plots and pages can be made; work of hours does not fail for want of an image."""
    return all(find_spec(package) for package in EXTRAS["plots"])
