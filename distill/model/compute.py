"""Where a network runs, and in which arithmetic."""

from __future__ import annotations

from typing import Literal

import torch

from distill.core.errors import RunError
from distill.core.machine.cpu import cpu_flags
from distill.core.machine.device import chosen_device
from distill.core.machine.freed_memory import keep_freed_memory
from distill.core.output.terminal import warn
from distill.core.settings.model_config import TrainingPrecision

Arithmetic = Literal["fp32", "bf16", "fp16"]

# Processors that multiply bf16: Zen 4, Cooper Lake and Sapphire Rapids, or newer; Armv8.6 (Linux' names of flags).
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def default_device() -> torch.device:
    """What `using_device` chose; for "auto", the GPU if there is one, else the CPU. Raises RunError for a device
    that is not there. From the first call on, the process keeps the memory that it frees, as networks do the rest
    of its work."""
    keep_freed_memory()
    device = chosen_device()
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":  # never mps: some operations of some encoders are missing there
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[device]:
        names = [name for name, is_there in available.items() if is_there]
        raise RunError(f"--device {device}: torch {torch.__version__} finds none here, only {', '.join(names)}")
    return torch.device(device)


def training_arithmetic(precision: TrainingPrecision) -> Arithmetic:
    """The arithmetic of a training of this `precision` on the default device. "auto" is bf16 where the device
    computes with it, fp16 on an older GPU, else fp32."""
    device = default_device().type
    if device == "cuda" and precision == "auto":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device == "cpu" and precision != "fp32":
        has_bf16 = bool(BF16_FLAGS & cpu_flags())
        if precision == "bf16" and not has_bf16:
            warn("this processor has no bf16 arithmetic: precision=bf16 is emulated here, exact but slow")
        return "bf16" if has_bf16 or precision == "bf16" else "fp32"
    return "bf16" if precision == "bf16" else "fp32"


def autocast(arithmetic: Arithmetic) -> torch.autocast:
    """To run a network in this arithmetic."""
    dtype = torch.float16 if arithmetic == "fp16" else torch.bfloat16
    return torch.autocast(default_device().type, dtype=dtype, enabled=arithmetic != "fp32")
