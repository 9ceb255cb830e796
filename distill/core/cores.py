"""How many processors this process may really use. Knows Linux's affinity and cgroups, nothing of models."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def granted_cpus(root: Path = ROOT) -> float:
    """CPUs' worth of time: the cores that may be used, or less where a quota says so. A container given 1.5 CPUs of
    a large machine sees all of its cores and gets 1.5."""
    return min([float(len(usable_cores())), *map(_quota, cgroup_folders("cpu", root))])


def default_threads(root: Path = ROOT) -> int:
    """As many threads as are granted whole CPUs, at least one: more would wait for each other's turns."""
    return max(1, math.floor(granted_cpus(root)))


def session_threads(root: Path = ROOT) -> int:
    """What to ask of onnxruntime where nobody said how many: 0 leaves it to onnxruntime, which looks at cores and
    not at quotas. A user's own ORT_INTRA_OP_NUM_THREADS counts for more than a quota."""
    if "ORT_INTRA_OP_NUM_THREADS" in os.environ or granted_cpus(root) >= len(usable_cores()):
        return 0
    return default_threads(root)


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may run on."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return list(range(os.cpu_count() or 1))


def cpu_affinity() -> str:
    """Those numbers as Linux writes them, such as "0-3,8"."""
    ranges: list[list[int]] = []
    for core in usable_cores():
        if ranges and ranges[-1][1] == core - 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def cgroup_folders(controller: str, root: Path = ROOT) -> list[Path]:
    """Folders that may hold limits of this controller ("cpu", "memory"): the process's own and all above it, for
    both versions of cgroups. A container may not have all of them."""
    mounted = root / "sys/fs/cgroup"
    found = []
    for line in read_system_file(root / "proc/self/cgroup").splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        if not names:
            places = [mounted, mounted / "unified"]
        elif controller in names.split(","):
            places = [mounted / names, mounted / controller]
        else:
            continue
        # ".." leads out of what a container sees, to folders that are not the process's own.
        own = PurePosixPath(*(part for part in path.split("/") if part not in ("", "..")))
        found += [place / part for place in places for part in (own, *own.parents)]
    return [*found, mounted, mounted / controller]


def read_system_file(path: Path) -> str:
    """The content of one of the system's small files; "" for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _quota(folder: Path) -> float:
    """CPUs granted by one cgroup; infinite where it sets no limit."""
    words = read_system_file(folder / "cpu.max").split()
    words = words or [read_system_file(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or no such file
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
