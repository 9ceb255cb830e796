"""How much memory this process holds, by the system's own counters."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from bench.report.measured import Resident


def resident(proc: Path = Path("/proc/self")) -> Resident:
    """RSS and PSS now. Where the system keeps no such file, RSS is the largest so far and PSS None."""
    fields = _kilobytes(proc / "smaps_rollup")
    if "Rss" in fields and "Pss" in fields:
        return Resident(1024 * fields["Rss"], 1024 * fields["Pss"])
    status = _kilobytes(proc / "status")
    return Resident(1024 * status["VmRSS"] if "VmRSS" in status else peak_bytes(proc), None)


def peak_bytes(proc: Path = Path("/proc/self")) -> int:
    """The largest RSS of this process so far."""
    status = _kilobytes(proc / "status")
    if "VmHWM" in status:
        return 1024 * status["VmHWM"]
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines "Name:  123 kB"; none where there is no such file."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {parts[0].rstrip(":"): int(parts[1]) for parts in fields if len(parts) == 3 and parts[2] == "kB"}
