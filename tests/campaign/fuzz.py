"""Runs the fuzzer's targets, one after the other, in processes that are started again when an input ends them."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from campaign.fuzz_worker import has_atheris
from campaign.outcome import Tally
from campaign.subject import Subject, environment
from campaign.targets import TARGETS

WORKER = Path(__file__).with_name("fuzz_worker.py")
START_S = 60  # the most that a worker takes to import, on a busy machine
COVERAGE_SHARE = 0.6  # of a target's seconds
MAX_DEATHS = 40  # of one target; more would tell nothing new
FATES = {
    signal.SIGPROF: "more than {cpu_s:g} s of a core",
    signal.SIGALRM: "waits without end",
    signal.SIGKILL: "ran into the end of its time",
}
LIBFUZZER_CRASH = 77  # its exit code when it has caught a deadly signal


def fuzz(
    tally: Tally, subject: Subject, seconds: float, count: int, seed: int, names: tuple[str, ...] = ()
) -> None:
    """Give each target an equal share of the seconds, or `count` inputs at random when that comes first.

    By coverage where atheris is installed and `count` is 0."""
    chosen = names or tuple(TARGETS)
    if engine(count) == "random" and count:  # one process for all, as far as it lives
        with _folder(subject) as folder:
            _short(tally, list(chosen), folder, seconds, count, seed)
    else:
        for name in chosen:
            with _folder(subject) as folder:
                _long(tally, name, folder, seconds / len(chosen), seed)


def engine(count: int) -> str:
    """How inputs are chosen."""
    return "coverage" if has_atheris() and not count else "random"


@contextmanager
def _folder(subject: Subject) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="distill-fuzz-", ignore_cleanup_errors=True) as folder:
        tree = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(subject).items()}
        (Path(folder) / "subject.json").write_text(json.dumps(tree))
        yield Path(folder)


def _short(tally: Tally, names: list[str], folder: Path, seconds: float, count: int, seed: int) -> None:
    """`count` inputs for each target; one that ends the process has had its turn."""
    end = monotonic() + seconds
    while names and monotonic() < end:
        started = monotonic()
        code = _work(folder, (",".join(names), str(end), str(count), str(seed), "random"), seconds)
        done = json.loads((folder / "count").read_text())
        _collect(tally, folder)
        if code:
            _died(tally, list(done)[-1], folder, code)
        for name, tried in done.items():
            tally.count(name, tried, (monotonic() - started) / len(done))
        names = [name for name in names if name not in done]


def _long(tally: Tally, name: str, folder: Path, seconds: float, seed: int) -> None:
    """By coverage where that is possible, with small inputs: large ones take too long with every line counted."""
    if has_atheris():
        _stage(tally, name, folder, (seconds * COVERAGE_SHARE, seed, "coverage"))
        _stage(tally, name, folder, (seconds * (1 - COVERAGE_SHARE), seed, "random"))
    else:
        _stage(tally, name, folder, (seconds, seed, "random"))


def _stage(tally: Tally, name: str, folder: Path, how: tuple[float, int, str]) -> None:
    seconds, seed, chosen = how
    started = monotonic()
    for attempt in range(MAX_DEATHS):
        left, begun = seconds - (monotonic() - started), monotonic()
        if left < 1:
            break
        words = (name, str(started + seconds), str(sys.maxsize), str(seed * 1000 + attempt), chosen)
        code = _work(folder, words, left)
        _collect(tally, folder)
        tally.count(name, json.loads((folder / "count").read_text()).get(name, 0), monotonic() - begun)
        if code == 0:
            break
        _died(tally, name, folder, code)


def _work(folder: Path, words: tuple[str, ...], seconds: float) -> int:
    """A worker's exit code, negative for the signal that ended it."""
    (folder / "count").write_text("{}")
    with (folder / "log").open("wb") as log:
        command = [sys.executable, str(WORKER), str(folder), *words]
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            return process.wait(seconds + START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _collect(tally: Tally, folder: Path) -> None:
    path = folder / "failures.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)
        last = (record["trace"].strip().splitlines()[-1:] or [""])[0]
        what = record["what"] if last in record["what"] else f"{record['what']}: {last}"
        tally.fail(record["target"], what, base64.b64decode(record["content"]), ".bin", record["what"])
    path.unlink(missing_ok=True)


def _died(tally: Tally, name: str, folder: Path, code: int) -> None:
    """Record the input that a worker died of."""
    log = (folder / "log").read_bytes().decode("utf-8", "replace")
    content = (folder / "input").read_bytes() if (folder / "input").exists() else b""
    if not content or (code > 0 and code != LIBFUZZER_CRASH):
        raise SystemExit(f"the fuzzer of {name} ended with {code}:\n{log[-3000:]}")
    what = (
        FATES.get(signal.Signals(-code), f"ended by {signal.Signals(-code).name}")
        if code < 0
        else "a deadly signal"
    )
    what = what.format(cpu_s=TARGETS[name].cpu_s)
    tally.fail(name, f"{what}, for {len(content):,} bytes; {log.strip()[-200:]}", content, ".bin", what)
