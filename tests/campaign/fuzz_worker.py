"""Feeds targets until a time is up, in a process that may die of an input.

Each input is written to FOLDER/input before it is tried, so that whoever finds this process dead knows of what. It
has CPU seconds, set anew for each input, after which the system ends the process; its memory is looked at after
each. Failures that raise are made smaller and written to FOLDER/failures.jsonl, and the fuzzing goes on.

With atheris installed, inputs are chosen by what code they reach (libFuzzer); without it, at random.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

INSTRUMENTED = ("distill", "PIL")
SMALL, LARGE = 1 << 14, 1 << 20  # bytes of an input: chosen by coverage, and at random
WALL_FACTOR = 10  # seconds of a clock for each allowed second of CPU: a wait that never ends
ADDRESS_SPACE = 6 << 30  # beyond what the process has; a guard for the machine, not the limit
SMALLER_RUNS = 300
PEAK, RESET_PEAK = "VmHWM", "5"


class Worker:
    """One target and its state."""

    def __init__(self, name: str, folder: Path, seed: int, counts: dict[str, int]) -> None:
        from campaign.subject import Subject
        from campaign.targets import TARGETS

        tree = json.loads((folder / "subject.json").read_text())
        paths = {key: Path(value) if isinstance(value, str) else tuple(value) for key, value in tree.items()}
        subject = Subject(**paths)
        self.target = TARGETS[name]
        self.folder, self.seed, self.counts = folder, seed, counts
        self.seen: set[str] = set()
        self.seeds = self.target.seeds(subject)
        work = Path(tempfile.mkdtemp(dir=folder))
        self.run = self.target.open(subject, work)
        self.input = (folder / "input").open("wb", buffering=0)
        self.count = (folder / "count").open("wb", buffering=0)
        self.add(0)
        used = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def feed(self, content: bytes) -> None:
        """Try one input within its limits, and record what went wrong."""
        os.ftruncate(self.input.fileno(), 0)
        os.pwrite(self.input.fileno(), content, 0)
        problem, trace = self.attempt(content)
        self.add(1)
        if problem is not None and problem not in self.seen:
            self.seen.add(problem)
            smaller = self.smaller(content, problem)
            record = {
                "target": self.target.name,
                "what": problem,
                "trace": trace,
                "content": base64.b64encode(smaller).decode(),
            }
            with (self.folder / "failures.jsonl").open("a") as handle:
                handle.write(json.dumps(record) + "\n")

    def add(self, tried: int) -> None:
        """Say how many inputs each target has had."""
        self.counts[self.target.name] = self.counts.get(self.target.name, 0) + tried
        os.pwrite(self.count.fileno(), json.dumps(self.counts).encode(), 0)

    def attempt(self, content: bytes) -> tuple[str | None, str]:
        """What is wrong with what came of an input, None for nothing, and the traceback."""
        from campaign.outcome import Wrong
        from campaign.targets import check_message
        from distill.core.errors import DistillError

        before = _reset_peak()
        self.arm(self.target.cpu_s)
        try:
            try:
                self.run(content)
            except DistillError as error:
                check_message(str(error))
        except Wrong as error:
            return error.what, error.detail
        except BaseException as error:  # noqa: BLE001 - the finding itself, a panic of Rust among them
            return _signature(error), traceback.format_exc()
        finally:
            self.arm(0)
        grown = _status(PEAK) - before
        if grown > self.target.memory_bytes:
            return f"more than {self.target.memory_bytes >> 20} MB of memory", f"{grown >> 20} MB"
        return None, ""

    def arm(self, cpu_s: float) -> None:
        """Have the system end this process after so much CPU, or many times that of waiting; 0: never."""
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        signal.setitimer(signal.ITIMER_REAL, cpu_s * WALL_FACTOR)

    def smaller(self, content: bytes, problem: str) -> bytes:
        """A shorter input with the same problem, by leaving out ever smaller parts."""
        step, runs = len(content) // 2, 0
        while step and runs < SMALLER_RUNS:
            place = 0
            while place < len(content) and runs < SMALLER_RUNS:
                shorter = content[:place] + content[place + step :]
                runs += 1
                if self.attempt(shorter)[0] == problem:
                    content = shorter
                else:
                    place += step
            step //= 2
        return content

    def at_random(self, end: float, count: int) -> None:
        """Mutants of the seeds, and of those mutants."""
        rng = random.Random(self.seed)
        for content in self.seeds:
            self.feed(content)
        for _ in range(count):
            if time.monotonic() > end:
                break
            content = rng.choice(self.seeds)
            for _ in range(rng.choice((1, 1, 2, 3))):
                content = self.target.mutate(content, rng, LARGE)
            self.feed(content)

    def by_coverage(self, seconds: float) -> None:
        """libFuzzer's way; it ends the process itself."""
        import atheris

        def mutate(content: bytes, max_size: int, seed: int) -> bytes:
            rng = random.Random(seed)
            if rng.random() < 0.3:
                return bytes(atheris.Mutate(content, max_size))
            return self.target.mutate(content, rng, max_size)[:max_size]

        corpus = self.folder / "corpus"
        if not corpus.is_dir():
            corpus.mkdir()
            for number, content in enumerate(self.seeds):
                (corpus / f"seed-{number}").write_bytes(content)
        limits = [f"-max_total_time={max(1, round(seconds))}", f"-max_len={SMALL}", "-rss_limit_mb=0", "-timeout=0"]
        quiet = ["-verbosity=0", f"-artifact_prefix={self.folder}/", f"-seed={self.seed + 1}", "-len_control=0"]
        atheris.Setup([sys.argv[0], *limits, *quiet, str(corpus)], self.feed, custom_mutator=mutate)
        atheris.Fuzz()


def _signature(error: BaseException) -> str:
    """The error's type and the place in this project that let it through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/distill/" in frame.filename or "/bench/" in frame.filename] or frames[
        -1:
    ]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "nowhere"
    return f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:60]}"


def _status(key: str) -> int:
    """Bytes that the system says of this process; 0 where it does not."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) << 10
    return 0


def _reset_peak() -> int:
    """Forget the largest memory so far; what the process has now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    return _status(PEAK)


def _importer(by_coverage: bool) -> Callable[[], contextlib.AbstractContextManager[object]]:
    if not by_coverage:
        return contextlib.nullcontext
    import atheris

    return lambda: atheris.instrument_imports(include=list(INSTRUMENTED))


def main() -> None:
    """`python fuzz_worker.py FOLDER TARGET,TARGET END COUNT SEED ENGINE`; END as time.monotonic() counts."""
    folder, names, end, count, seed, engine = sys.argv[1:]
    sys.path[:1] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    warnings.simplefilter("ignore")
    by_coverage = engine == "coverage"
    with _importer(by_coverage)():
        import campaign.targets  # noqa: F401 - instrumented while it is imported
    counts: dict[str, int] = {}
    for name in names.split(","):
        worker = Worker(name, Path(folder), int(seed), counts)
        if by_coverage:
            worker.by_coverage(float(end) - time.monotonic())
        else:
            worker.at_random(float(end), int(count))


def has_atheris() -> bool:
    """Whether inputs can be chosen by coverage."""
    return importlib.util.find_spec("atheris") is not None


if __name__ == "__main__":
    main()
