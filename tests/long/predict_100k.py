"""100,000 answers from a real process: how fast, in how much memory, and after a kill the same bytes. Linux.

    python tests/long/predict_100k.py BUNDLE DATA [ITEMS]

DATA is a labelled dataset whose texts and images are repeated in new combinations. Prints JSON.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from distill.data.dataset import Example, read_splits

SHARES = (0.1, 0.5, 1.0)
POLL_S = 0.02


@dataclass
class Watched:
    """A process that answers, and its part."""

    process: subprocess.Popen[bytes]
    part: Path
    read_bytes: int = 0
    answers: int = 0

    def look(self) -> int:
        """How many answers there are."""
        if self.part.is_file():
            with self.part.open("rb") as handle:
                handle.seek(self.read_bytes)
                piece = handle.read()
            self.read_bytes, self.answers = self.read_bytes + len(piece), self.answers + piece.count(b"\n")
        return self.answers

    def peak_mb(self) -> float | None:
        """The most memory that it has held so far; None when it has ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        found = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return round(int(found[0].split()[1]) / 1024, 1) if found else None


def write_rows(examples: list[Example], count: int, path: Path) -> None:
    """Each text with another example's image; every tenth without one."""
    with path.open("w", encoding="utf-8") as handle:
        for number in range(count):
            text = examples[number % len(examples)].text
            image = examples[number * 31 % len(examples)].image
            row = {"id": f"row-{number}", "text": text, "image": None if number % 10 == 0 else str(image)}
            handle.write(json.dumps(row) + "\n")


def start(bundle: Path, source: Path, out: Path, *more: str) -> Watched:
    """`distill predict`, one thread."""
    command = [sys.executable, "-m", "distill.cli", "predict", str(bundle), str(source), "--out", str(out)]
    return Watched(subprocess.Popen([*command, "--threads", "1", *more]), out.with_name(f"{out.name}.part"))


def watch(watched: Watched, count: int) -> dict[str, float | None]:
    """Follow it to its end: the peak of its memory when these shares of the items were answered."""
    peaks: dict[str, float | None] = {}
    latest = None
    while watched.process.poll() is None:
        answered = watched.look()
        latest = watched.peak_mb() or latest
        for share in SHARES[:-1]:
            if answered >= share * count:
                peaks.setdefault(f"{share:.0%}", latest)
        time.sleep(POLL_S)
    return peaks | {"100%": latest}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Run it unbroken, then killed half way and resumed."""
    bundle, data = Path(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(read_splits(data.resolve()).train, count, folder / "posts.jsonl")
        began = time.perf_counter()
        unbroken = start(bundle, folder / "posts.jsonl", folder / "unbroken.jsonl")
        peaks = watch(unbroken, count)
        seconds = time.perf_counter() - began
        killed = start(bundle, folder / "posts.jsonl", folder / "killed.jsonl")
        while killed.look() < count / 2:
            time.sleep(POLL_S)
        killed.process.kill()
        killed.process.wait()
        resumed = start(bundle, folder / "posts.jsonl", folder / "killed.jsonl", "--resume")
        resumed.process.wait()
        figures = {
            "items": count,
            "seconds": round(seconds, 1),
            "items_per_second": round(count / seconds, 1),
            "peak_rss_mb": peaks,
            "killed_after": killed.answers,
            "same_bytes_after_kill": sha256(folder / "killed.jsonl") == sha256(folder / "unbroken.jsonl"),
            "exit_codes": [unbroken.process.returncode, resumed.process.returncode],
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
