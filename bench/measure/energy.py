"""Joules that the processor's packages took, from the counters that Linux shows under powercap.

Intel's and AMD's counters (RAPL) have the same names. They count the whole package, whatever else runs on it, and
are readable for root alone unless its owner has changed that; virtual machines have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """One package's microjoules, from 0 to `range_uj`, after which it begins again."""

    path: Path
    range_uj: int

    def read(self) -> int:
        """Raises OSError and ValueError."""
        return int(self.path.read_text(encoding="ascii"))


class Meter:
    """Adds up what all packages take from `start` on. Asked at least once in every turn of a counter (minutes at
    full power), it misses nothing."""

    def __init__(self, counters: list[Counter]) -> None:
        self.counters = counters
        self.start()

    @classmethod
    def open(cls, root: Path = POWERCAP) -> Meter | None:
        """Started; None where there are no counters or they may not be read."""
        try:
            counters = [
                Counter(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text(encoding="ascii")))
                for zone in sorted(root.glob("intel-rapl:*"))
                # Cores and memory are zones too, and parts of a package; "psys" is the whole board.
                if (zone / "name").read_text(encoding="ascii").startswith("package")
            ]
            return cls(counters) if counters else None
        except (OSError, ValueError):
            return None

    def start(self) -> None:
        """Count from here on."""
        self.last = [counter.read() for counter in self.counters]
        self.total_uj = 0

    def joules(self) -> float:
        """Since `start`. Raises OSError when a counter has gone."""
        now = [counter.read() for counter in self.counters]
        for counter, before, after in zip(self.counters, self.last, now, strict=True):
            self.total_uj += after - before if after >= before else after - before + counter.range_uj
        self.last = now
        return self.total_uj / 1e6
