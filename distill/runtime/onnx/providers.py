"""onnxruntime's execution providers: what each is called, which package has it, and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import onnxruntime

from distill.core.errors import InstallError
from distill.core.machine.cores import default_threads
from distill.core.machine.runtimes import PROVIDERS, Provider

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Facts:
    """onnxruntime's `name` for a provider, how to `get` it, and `settings` by which it answers as the CPU does."""

    name: str
    get: str
    settings: dict[str, Any] = field(default_factory=dict)


FACTS: dict[Provider, Facts] = {
    "cpu": Facts(CPU, "pip install onnxruntime"),
    "openvino": Facts(
        "OpenVINOExecutionProvider",
        "pip install onnxruntime-openvino in place of onnxruntime, or give --runtime openvino",
        {"device_type": "CPU", "precision": "FP32"},  # elsewhere bf16, where the processor has it
    ),
    "cuda": Facts(
        "CUDAExecutionProvider",
        "pip install onnxruntime-gpu in place of onnxruntime",
        {"use_tf32": "0"},  # which keeps 10 bits of a weight
    ),
    "coreml": Facts("CoreMLExecutionProvider", "it is part of onnxruntime for macOS and iOS alone"),
    "xnnpack": Facts("XnnpackExecutionProvider", "build onnxruntime with --use_xnnpack, as its Android package is"),
}


def provider_settings(provider: Provider, threads: int) -> list[Any]:
    """The `providers` of a session. Raises InstallError for one that this onnxruntime does not have."""
    facts, available = FACTS[provider], onnxruntime.get_available_providers()
    if facts.name not in available:
        here = ", ".join(name for name in PROVIDERS if FACTS[name].name in available)
        raise InstallError(
            f"--provider {provider}: onnxruntime {onnxruntime.__version__} here has {here} and no {facts.name}; "
            f"{facts.get}"
        )
    if provider == "cpu":
        return [CPU]
    settings = dict(facts.settings)
    if provider == "xnnpack":  # this one and OpenVINO have threads of their own
        settings["intra_op_num_threads"] = str(threads or default_threads())
    if provider == "openvino" and threads:
        settings["num_of_threads"] = str(threads)
    return [(facts.name, settings), CPU]


def refuse_if_fallen_back(session: onnxruntime.InferenceSession, provider: Provider) -> None:
    """Raise InstallError where onnxruntime took the CPU because a library of the provider's is missing."""
    facts = FACTS[provider]
    if facts.name not in session.get_providers():
        raise InstallError(
            f"--provider {provider}: onnxruntime {onnxruntime.__version__} could not start {facts.name} on this "
            "machine and would run on the CPU; install its driver and libraries, or leave out --provider"
        )
