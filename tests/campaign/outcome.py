"""What the campaign tried and what failed: counted by kind and name, written as JSON, each failure reproducible."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

MAX_KEPT = 3  # reproducers of failures that look alike
MAX_SHOWN = 400  # characters of a failure in the report


class Wrong(Exception):  # noqa: N818 - it is raised by what is tried, of what tries it
    """The product did something that is neither success nor a DistillError in one line: what, and of this input."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(what, detail)
        self.what, self.detail = what, detail


@dataclass(frozen=True)
class Failure:
    """One failure: what was tried, what came of it, and the file in the report's folder that shows it again."""

    name: str
    what: str
    reproducer: str


@dataclass
class Tally:
    """What one kind tried, by name of the input; `failures` are those that differ."""

    kind: str
    folder: Path
    tried: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    _alike: dict[str, int] = field(default_factory=dict, repr=False)

    def count(self, name: str, tried: int = 1, seconds: float = 0.0) -> None:
        """Add inputs that were tried."""
        self.tried[name] = self.tried.get(name, 0) + tried
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count one input and the seconds of the block."""
        started = perf_counter()
        try:
            yield
        finally:
            self.count(name, 1, perf_counter() - started)

    def fail(self, name: str, what: str, reproducer: bytes, suffix: str = ".txt", alike: str = "") -> None:
        """Record a failure, at most MAX_KEPT of those with the same `alike`; `reproducer` is the file's content."""
        alike = f"{name}: {alike or what}"
        self._alike[alike] = self._alike.get(alike, 0) + 1
        if self._alike[alike] > MAX_KEPT:
            return
        digest = hashlib.sha256(reproducer + what.encode("utf-8", "replace")).hexdigest()[:10]
        path = self.folder / f"{self.kind}-{name.replace(' ', '-').replace('/', '-')}-{digest}{suffix}"
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reproducer)
        shown = " ".join(what.split())[:MAX_SHOWN]
        self.failures.append(Failure(name, shown.encode("ascii", "backslashreplace").decode(), path.name))

    def to_json(self) -> dict[str, Any]:
        """Inputs, seconds and failures, with those of each name."""
        return {
            "inputs": sum(self.tried.values()),
            "seconds": round(sum(self.seconds.values()), 1),
            "by_name": {
                name: {
                    "inputs": count,
                    "seconds": round(self.seconds[name], 1),
                    "failures": sum(failure.name == name for failure in self.failures),
                }
                for name, count in self.tried.items()
            },
            "failures": [asdict(failure) for failure in self.failures],
        }


def summary(tallies: Sequence[Tally]) -> str:
    """A table for a terminal."""
    lines = [f"{'kind':<12} {'input':<26} {'tried':>9} {'seconds':>8} {'failures':>8}"]
    for tally in tallies:
        tree = tally.to_json()
        for name, row in tree["by_name"].items():
            lines.append(
                f"{tally.kind:<12} {name:<26} {row['inputs']:>9,} {row['seconds']:>8.1f} {row['failures']:>8}"
            )
    total = sum(sum(tally.tried.values()) for tally in tallies)
    seconds = sum(sum(tally.seconds.values()) for tally in tallies)
    lines.append(f"{'all':<39} {total:>9,} {seconds:>8.1f} {sum(len(tally.failures) for tally in tallies):>8}")
    for tally in tallies:
        for failure in tally.failures:
            lines += ["", f"{tally.kind} {failure.name}: {failure.what}", f"  {tally.folder / failure.reproducer}"]
    return "\n".join(lines)
