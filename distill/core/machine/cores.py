"""How many CPUs this process may use: Linux's affinity and the CPU quotas of cgroups (version 1 and 2)."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

ROOT = Path("/")
MAX_BATCH = 256  # posts that one thread may run together


def granted_cpus(root: Path = ROOT) -> float:
    """CPU time that the process may use, in CPUs: its usable cores, or a smaller quota. A container with a quota of
    1.5 CPUs on a large machine sees all cores and gets 1.5."""
    return min([float(len(usable_cores())), *map(_quota, cgroup_folders("cpu", root))])


def default_threads(root: Path = ROOT) -> int:
    """One thread per whole granted CPU, at least one: more would wait for each other."""
    return max(1, math.floor(granted_cpus(root)))


def max_threads() -> int:
    """The most threads that may be asked for: more only wait for each other, and thousands stop the machine."""
    return 4 * (os.cpu_count() or 1)


def session_threads(root: Path = ROOT) -> int:
    """The default number of threads of an onnxruntime session: 0 leaves it to onnxruntime, which looks at cores but
    not at quotas. The user's ORT_INTRA_OP_NUM_THREADS takes precedence over a quota."""
    if "ORT_INTRA_OP_NUM_THREADS" in os.environ or granted_cpus(root) >= len(usable_cores()):
        return 0
    return default_threads(root)


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may run on, ascending."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return list(range(os.cpu_count() or 1))


def cpu_affinity() -> str:
    """The usable cores in Linux's notation, such as "0-3,8"."""
    ranges: list[list[int]] = []
    for core in usable_cores():
        if ranges and ranges[-1][1] == core - 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def cgroup_folders(controller: str, root: Path = ROOT) -> list[Path]:
    """Folders that may hold limits of `controller` ("cpu" or "memory"): the process's own cgroup and its parents,
    for both versions of cgroups. Not all of them need to exist in a container."""
    mounted = root / "sys/fs/cgroup"
    folders = []
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
        folders += [place / part for place in places for part in (own, *own.parents)]
    return [*folders, mounted, mounted / controller]


def read_system_file(path: Path) -> str:
    """The content of a small file of /proc or /sys, stripped; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _quota(folder: Path) -> float:
    """The quota of one cgroup in CPUs; infinite if it sets none."""
    words = read_system_file(folder / "cpu.max").split()
    words = words or [read_system_file(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or no such file
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
