"""Everything that can be measured: training runs (torch), Bundles in any of their runtimes, and their peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distill.core.errors import BenchError
from distill.core.machine import runtimes
from distill.core.machine.runtimes import FORMAT_NAMES, Provider
from distill.data.run_folder import is_run, read_run
from distill.runtime.bundle import Bundle, Kind, is_bundle

Runtime = Literal[
    "torch",
    "torch dynamic int8",
    "torch.compile",
    "onnxruntime",
    "onnxruntime mobile format",
    "onnxruntime with OpenVINO",
    "onnxruntime with CUDA",
    "onnxruntime with CoreML",
    "onnxruntime with XNNPACK",
    "OpenVINO in f32",
    "LiteRT",
    "OpenVINO",
    "OpenVINO NNCF int8",
    "optimum dynamic int8",
]
# How the product opens a Bundle so: by a provider, and by a runtime, None for the Bundle's own.
OPTIONS: dict[Runtime, tuple[Provider, runtimes.Runtime | None]] = {
    "onnxruntime mobile format": ("cpu", None),
    "onnxruntime with OpenVINO": ("openvino", None),
    "onnxruntime with CUDA": ("cuda", None),
    "onnxruntime with CoreML": ("coreml", None),
    "onnxruntime with XNNPACK": ("xnnpack", None),
    "OpenVINO in f32": ("cpu", "openvino"),
    "LiteRT": ("cpu", None),
}
OF_BUNDLES: dict[runtimes.Runtime, Runtime] = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-mobile": "onnxruntime mobile format",
    "openvino": "OpenVINO in f32",  # what is not int8, whatever the processor has
    "litert": "LiteRT",
}
RUN_FILES = ("model.safetensors", "tokenizer.json", "text/config.json", "image/config.json", "run.json")


@dataclass(frozen=True)
class Variant:
    """One row of a report; `size_bytes` is what has to be on a device for it, libraries aside. `folder` is a
    run, or the Bundle that `runtime` opens; `model` is the file that it runs in place of the Bundle's own."""

    name: str
    kind: Kind
    runtime: Runtime
    folder: Path
    size_bytes: int
    model: Path | None = None


def variant_from_path(folder: Path) -> Variant:
    """The run or Bundle at `folder`. Raises BenchError when it is neither a run nor a Bundle."""
    if is_bundle(folder):
        bundle = Bundle.open(folder)
        name = f"{bundle.kind} {bundle.precision} {FORMAT_NAMES[bundle.runtime]}"
        return Variant(name, bundle.kind, OF_BUNDLES[bundle.runtime], folder, bundle.size_bytes())
    if is_run(folder):
        kind: Kind = (
            "teacher" if read_run(folder).get("kind") == "teacher" else "student"
        )  # checked when it is opened
        size = sum((folder / name).stat().st_size for name in RUN_FILES if (folder / name).is_file())
        return Variant(f"{kind} PyTorch", kind, "torch", folder, size)
    raise BenchError(f"{folder}: neither a finished run nor a Bundle; train or export it first")


def fp32_path(bundle: Path) -> Path:
    """Where export puts the fp32 Bundle of an int8 one."""
    return bundle.with_name(f"{bundle.name}-fp32")


def select_variants(
    bundle: Path,
    against: Sequence[Path],
    peers: Sequence[Variant] = (),
    with_parent: bool = True,
    baseline: Path | None = None,
) -> list[Variant]:
    """The variants of a report, the ones it is measured against first; an int8 Bundle's fp32 parent joins
    by itself when it is beside it, unless `with_parent` is False, a `baseline` joins by that name, and peers come
    last but one. Doubled names get their folder's name."""
    folders = [*against, *([] if baseline is None else [baseline])]
    parent = fp32_path(bundle)
    if with_parent and is_bundle(parent) and parent not in folders:
        folders.append(parent)
    folders.append(bundle)
    *others, own = [variant_from_path(folder) for folder in dict.fromkeys(folders)]
    others = [replace(v, name=v.name.replace(v.kind, "baseline", 1)) if v.folder == baseline else v for v in others]
    variants = [*others, *peers, own]
    names = [variant.name for variant in variants]
    return [replace(v, name=f"{v.name} ({v.folder.name})") if names.count(v.name) > 1 else v for v in variants]
