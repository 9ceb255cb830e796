"""Runs the fuzzer's targets one after the other, each in processes that are started again when an input ends them."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import tempfile
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
    chosen = [TARGETS[name] for name in names] if names else list(TARGETS.values())
    for target in chosen:
        _fuzz_target(tally, subject, target.name, seconds / len(chosen), count, seed)


def engine(count: int) -> str:
    """How inputs are chosen."""
    return "coverage" if has_atheris() and not count else "random"


def _fuzz_target(tally: Tally, subject: Subject, name: str, seconds: float, count: int, seed: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="distill-fuzz-"))
    try:
        tree = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(subject).items()}
        (folder / "subject.json").write_text(json.dumps(tree))
        if engine(count) == "coverage":  # small inputs; large ones take too long with every line counted
            _stage(tally, name, folder, (seconds * COVERAGE_SHARE, sys.maxsize, seed, "coverage"))
            _stage(tally, name, folder, (seconds * (1 - COVERAGE_SHARE), sys.maxsize, seed, "random"))
        else:
            _stage(tally, name, folder, (seconds, count or sys.maxsize, seed, "random"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stage(tally: Tally, name: str, folder: Path, how: tuple[float, int, int, str]) -> None:
    seconds, count, seed, chosen = how
    started, tried = monotonic(), 0
    for attempt in range(MAX_DEATHS):
        left = seconds - (monotonic() - started)
        if left < 1 or tried >= count:
            break
        words = (str(started + seconds), str(count - tried), str(seed * 1000 + attempt), chosen)
        code = _work(name, folder, words, left)
        tried += _counted(folder) + (code != 0)
        _collect(tally, name, folder)
        if code == 0:
            break
        _died(tally, name, folder, code)
    tally.count(name, tried, monotonic() - started)


def _work(name: str, folder: Path, words: tuple[str, ...], seconds: float) -> int:
    """A worker's exit code, negative for the signal that ended it."""
    (folder / "count").write_text("0")
    with (folder / "log").open("wb") as log:
        command = [sys.executable, str(WORKER), name, str(folder), *words]
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            return process.wait(seconds + START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _counted(folder: Path) -> int:
    return int((folder / "count").read_text().strip("\0") or 0)


def _collect(tally: Tally, name: str, folder: Path) -> None:
    path = folder / "failures.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)
        last = (record["trace"].strip().splitlines()[-1:] or [""])[0]
        what = record["what"] if last in record["what"] else f"{record['what']}: {last}"
        tally.fail(name, what, base64.b64decode(record["content"]), ".bin", record["what"])
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
