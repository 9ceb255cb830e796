"""Every command with closed, full, broken and non-UTF-8 standard streams: no traceback, one line of error and exit
code 2; or exit code 0, and then what it was to write is there."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from campaign.commands import COMMANDS, A, Command, prepare_inputs
from campaign.outcome import Tally, Wrong
from campaign.subject import Subject, command, environment

OUT, ERR = 1, 2
TIMEOUT_S = 300
NOT_UTF8 = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UNPRINTABLE = "wörk-政治-\u202e-🔥"  # a folder's name, which messages name
TROUBLE = ("Traceback", "Exception ignored", "Exception in thread", "lost sys.stderr", "Fatal Python error")


@dataclass(frozen=True)
class Condition:
    """What the standard streams are: `broken` lists those that nothing can be written to."""

    name: str
    broken: tuple[int, ...] = ()
    open: Callable[[], dict[str, Any]] = dict
    environment: Mapping[str, str] | None = None
    stdin_closed: bool = False


def _closed(*descriptors: int) -> Callable[[], dict[str, Any]]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return lambda: {"preexec_fn": close}


def _full(*names: str) -> Callable[[], dict[str, Any]]:
    return lambda: {name: open("/dev/full", "wb") for name in names}  # noqa: PTH123 - Popen's


def _broken(*names: str) -> Callable[[], dict[str, Any]]:
    """Pipes whose readers have left."""

    def opened() -> dict[str, Any]:
        pipes = {}
        for name in names:
            reader, writer = os.pipe()
            os.close(reader)
            pipes[name] = os.fdopen(writer, "wb", buffering=0)
        return pipes

    return opened


CONDITIONS = (
    Condition("stdout closed", (OUT,), _closed(OUT)),
    Condition("stderr closed", (ERR,), _closed(ERR)),
    Condition("all closed", (OUT, ERR), _closed(0, OUT, ERR)),
    Condition("stdin closed", (), _closed(0)),
    Condition("stdout full", (OUT,), _full("stdout")),
    Condition("stderr full", (ERR,), _full("stderr")),
    Condition("both full", (OUT, ERR), _full("stdout", "stderr")),
    Condition("stdout broken", (OUT,), _broken("stdout")),
    Condition("stderr broken", (ERR,), _broken("stderr")),
    Condition("both broken", (OUT, ERR), _broken("stdout", "stderr")),
    Condition("not UTF-8", (), dict, NOT_UTF8),
)


def _printing() -> dict[str, Command]:
    """Commands that write to standard output alone; `mark` is not asked."""

    def alone(name: str, words: Callable[[Subject, Path], list[str]]) -> Command:
        return Command(name, "", lambda subject, out, writer: words(subject, out), lambda out: None, {})

    listed = (
        alone("help", lambda s, out: ["--help"]),
        alone("version", lambda s, out: ["--version"]),
        alone("no such command", lambda s, out: ["predikt"]),
        alone("no such Bundle", lambda s, out: ["verify", str(out.parent / UNPRINTABLE)]),
        alone("predict one", lambda s, out: ["predict", str(s.int8), "--text", "WHO DID THIS 政治"]),
        alone("predict many", lambda s, out: ["predict", str(s.int8), str(out.parent.parent / "a.jsonl")]),
        alone("verify alone", lambda s, out: ["verify", str(s.int8)]),
        alone("evaluate alone", lambda s, out: ["evaluate", str(s.int8), "--data", str(s.data)]),
        alone("bench compare", lambda s, out: ["bench", "compare", *[str(out.parent.parent / "bench.json")] * 2]),
    )
    return {command.name: command for command in listed}


def break_streams(
    tally: Tally, subject: Subject, seconds: float, seed: int, names: tuple[str, ...] = (), count: int = 1 << 30
) -> None:
    """Try pairs of a command and a condition, quick commands first, until the time is up or `count` were tried."""
    end, rng = monotonic() + seconds, random.Random(seed)
    every = COMMANDS | _printing()
    chosen = [every[name] for name in names if name in every] or list(every.values())
    pairs = [(command, condition) for command in chosen for condition in CONDITIONS]
    rng.shuffle(pairs)
    pairs.sort(key=lambda pair: pair[0].heavy)
    with tempfile.TemporaryDirectory(prefix="distill-streams-") as folder:
        root = Path(folder)
        prepare_inputs(subject, root)
        if any(tried.name == "bench compare" for tried in chosen):
            _bench_report(subject, root)
        for number, (tried, condition) in enumerate(pairs[:count]):
            if monotonic() > end:
                break
            out = root / f"{number}-{UNPRINTABLE}" / (tried.out or "none")
            out.parent.mkdir()
            _try(tally, subject, tried, condition, out)


def _bench_report(subject: Subject, root: Path) -> None:
    words = COMMANDS["bench"].words(subject, root / "bench.json", A)
    subprocess.run(command(*words), env=environment(), capture_output=True, check=True)


def _try(tally: Tally, subject: Subject, tried: Command, condition: Condition, out: Path) -> None:
    words = tried.words(subject, out, A)
    with tally.timed(tried.name):
        try:
            code, said = _run(words, condition, out.parent)
            _judge(tried, condition, out, code, said)
        except Wrong as error:
            story = f"{condition.name}\n{' '.join(words)}\n{error.what}: {error.detail}\n"
            tally.fail(
                tried.name, f"{condition.name}: {error.what}: {error.detail}", story.encode("utf-8", "replace")
            )


def _run(words: list[str], condition: Condition, folder: Path) -> tuple[int, dict[int, str]]:
    """The exit code, and what was written to each stream that can be written to."""
    files = {name: folder / name for name in ("stdout", "stderr")}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, **condition.open()}
    for name, path in files.items():
        path.touch()
        if name not in streams:
            streams[name] = path.open("wb")
    env = environment(DISTILL_CACHE=str(folder / "cache"), **(condition.environment or {}))
    try:
        done = subprocess.run(command(*words), env=env, cwd=folder, timeout=TIMEOUT_S, check=False, **streams)
    except subprocess.TimeoutExpired:
        raise Wrong("waits without end") from None
    finally:
        for stream in streams.values():
            if hasattr(stream, "close"):
                stream.close()
    texts = {OUT: files["stdout"].read_text(errors="replace"), ERR: files["stderr"].read_text(errors="replace")}
    return done.returncode, texts


def _judge(tried: Command, condition: Condition, out: Path, code: int, said: dict[int, str]) -> None:
    """Raise Wrong for a traceback, another exit code, an error that is not one line, or absent results."""
    for text in said.values():
        if any(word in text for word in TROUBLE):
            raise Wrong("a traceback", text.strip()[-300:])
    if code not in (0, 2):
        raise Wrong(f"exit code {code}", said[ERR].strip()[-300:])
    if code == 2 and ERR not in condition.broken:
        errors = [line for line in said[ERR].splitlines() if line.lower().startswith("error:")]
        if len(errors) != 1:
            raise Wrong(f"{len(errors)} lines of error", said[ERR].strip()[-300:])
    if code == 0 and tried.out:
        _read(tried, out)
    if code == 0 and not tried.out and OUT in condition.broken:
        raise Wrong("exit code 0, and nobody has read what it printed")


def _read(tried: Command, out: Path) -> None:
    try:
        mark = tried.mark(out)
    except Exception as error:
        raise Wrong("exit code 0 without its result", f"{type(error).__name__}: {error}") from error
    if mark is None:
        raise Wrong("exit code 0 without its result")
