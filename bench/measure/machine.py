"""The device and the code that figures belong to, from the system's files and git."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from bench.report.types import Machine
from distill.core.machine import cpu
from distill.core.machine.cores import (
    ROOT,
    cgroup_folders,
    cpu_affinity,
    granted_cpus,
    read_system_file,
    usable_cores,
)

# What matrix products and convolutions are made of, by the names that Linux gives.
FLAGS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
PACKAGES = (
    *("torch", "torchvision", "transformers", "onnxruntime", "openvino", "nncf", "onnx", "optimum"),
    *("numpy", "tokenizers", "pillow"),
)
GIT_SECONDS = 5.0  # a call; a folder on a slow network drive shall not hold a benchmark up


def describe(name: str | None = None) -> Machine:
    """This machine, as the process sees it now; `name` is what its owner calls it, else what the processor does."""
    return Machine(
        name=name or cpu.cpu_name(),
        cpu=cpu.cpu_name(),
        flags=tuple(sorted(cpu.cpu_flags().intersection(FLAGS))),
        int8_target=cpu.detect_target(),
        cores=len(usable_cores()),
        granted=granted_cpus(),
        affinity=cpu_affinity(),
        governor=read_system_file(ROOT / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        memory_bytes=memory_bytes(),
        system=f"{platform.system()} {platform.machine()} {_kernel()}".strip(),
        load=_load(),
    )


def _kernel() -> str:
    """The numbers of the kernel's release; what a builder or a hypervisor appended to them is nobody's business."""
    numbers = re.match(r"\d+(?:\.\d+)*", platform.release())
    return numbers.group() if numbers else ""


def memory_bytes(root: Path = ROOT) -> int | None:
    """The machine's memory, or the smallest cgroup limit that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None
    limits = [
        read_system_file(f / name)
        for f in cgroup_folders("memory", root)
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min([total, *(int(limit) for limit in limits if limit.isdecimal())])  # others: "max", or no such file


def git_revision(folder: Path) -> str | None:
    """The commit of the checkout that tracks `folder`, with "+changes" where tracked files differ from it; None for
    an installed package, even inside somebody's checkout, and where git does not answer."""
    if not _git(folder, "ls-files", "."):
        return None
    revision = _git(folder, "rev-parse", "--short=12", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if revision and changes else revision or None


def packages() -> dict[str, str]:
    """The version of each package that figures may depend on, of those that are installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def spinning() -> str:
    """What onnxruntime's waiting threads do: its session.intra_op.allow_spinning is not set, so that it is 1."""
    return (
        "onnxruntime's default: with two threads or more, those that wait for work spin for a while before they "
        "sleep, between calls too; a single thread never waits"
    )


def _git(folder: Path, *command: str) -> str:
    """What git prints; "" where there is none, it fails or it takes too long."""
    # Variables of a git that called us (a hook, say) would point it at another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *command],
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


def _load() -> float | None:
    """Processes that ran or wanted to, the mean over the last minute."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
