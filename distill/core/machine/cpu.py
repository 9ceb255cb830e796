"""The int8 instructions of a processor, and the quantisation target that suits it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

# x86-avx2 is every x86 without VNNI: it adds int8 products in 16 bits, which overflow silently unless the weights
# leave one bit free. x86-vnni and arm64 add in 32 bits.
CpuTarget = Literal["x86-avx2", "x86-vnni", "arm64"]
TARGETS: tuple[CpuTarget, ...] = ("x86-avx2", "x86-vnni", "arm64")


def detect_target(cpuinfo: Path = Path("/proc/cpuinfo")) -> CpuTarget:
    """The target of this machine. An x86 whose flags cannot be read counts as one without VNNI, because a file for
    that target is correct everywhere."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "arm64"
    return "x86-vnni" if {"avx512_vnni", "avx_vnni"} & cpu_flags(cpuinfo) else "x86-avx2"


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The processor's feature flags by their Linux names; empty if the file cannot be read."""
    return set(_field(cpuinfo, "flags").split()) | set(_field(cpuinfo, "Features").split())


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """The processor's feature flags that serve int8 products, widest last."""
    flags = cpu_flags(cpuinfo)
    int8_flags = ("avx2", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
    return [name for name in int8_flags if name in flags]


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model name."""
    return _field(cpuinfo, "model name") or platform.processor() or platform.machine()


def overflows(target: str, here: CpuTarget) -> bool:
    """Whether an int8 file for `target` overflows, and so gives wrong outputs, on a machine of target `here`."""
    return here == "x86-avx2" and target in ("x86-vnni", "arm64")


def weight_limit(target: CpuTarget) -> int:
    """The largest |int8 weight| that cannot overflow on the target."""
    return 64 if target == "x86-avx2" else 127


def _field(cpuinfo: Path, name: str) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
