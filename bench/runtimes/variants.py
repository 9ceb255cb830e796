"""Everything that can be measured: training runs (torch), Bundles (onnxruntime) and their peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distill.core.errors import BenchError
from distill.data.run_folder import is_run, read_run
from distill.runtime.bundle import Bundle, Kind, is_bundle

Runtime = Literal[
    "torch",
    "torch dynamic int8",
    "torch.compile",
    "onnxruntime",
    "OpenVINO",
    "OpenVINO NNCF int8",
    "optimum dynamic int8",
]
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
        name = f"{bundle.kind} {bundle.precision} ONNX"
        return Variant(name, bundle.kind, "onnxruntime", folder, bundle.size_bytes())
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
    bundle: Path, against: Sequence[Path], peers: Sequence[Variant] = (), with_parent: bool = True
) -> list[Variant]:
    """The variants of a report, the ones it is measured against first; an int8 Bundle's fp32 parent joins
    by itself when it is beside it, unless `with_parent` is False, and peers come last but one. Doubled names get
    their folder's name."""
    folders = list(against)
    parent = fp32_path(bundle)
    if with_parent and is_bundle(parent) and parent not in folders:
        folders.append(parent)
    folders.append(bundle)
    *others, own = [variant_from_path(folder) for folder in dict.fromkeys(folders)]
    variants = [*others, *peers, own]
    names = [variant.name for variant in variants]
    return [replace(v, name=f"{v.name} ({v.folder.name})") if names.count(v.name) > 1 else v for v in variants]
