"""Two writers and a killer on every --out: OUT is absent, whole old or whole new at every moment, and exit code 0
means that it is there. Now and then each writer is process 1 of a PID namespace of its own, as in containers.

Runs in a process of its own that has imported what is slow, and forks each writer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from campaign.commands import COMMANDS, OLD, A, B, Command, prepare_inputs
from campaign.outcome import Tally, Wrong
from campaign.subject import Subject, environment
from campaign.writer import Writer, can_unshare

LOOK_S = 0.004  # between two looks at OUT
HANG_FACTOR, HANG_S = 20, 120
UNSHARED = "unshared "  # before the name of what was tried in namespaces


@dataclass
class Round:
    """One command, its OUT, two writers, and every state that OUT was seen in."""

    command: Command
    out: Path
    writers: list[Writer]
    had_old: bool
    history: list[str] = field(default_factory=list)

    def look(self) -> str | None:
        """OUT's mark, None where it is absent or does not claim to be finished. Raises Wrong.

        Of a folder that is replaced while it is read, nothing is said."""
        try:
            handle = os.open(self.out, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            folder = Path(f"/proc/self/fd/{handle}")
            return self.command.mark(folder if self.out.is_dir() else self.out)
        except Exception as error:
            if self.out.exists() and os.path.samestat(os.fstat(handle), self.out.stat()):
                if self.command.work and not self.settled():
                    return None  # its own folder, which it changes
                raise Wrong("OUT was seen half written", f"{type(error).__name__}: {error}") from error
            return self.look()
        finally:
            os.close(handle)

    def settled(self) -> bool:
        """Whether nobody writes any more."""
        return all(writer.code is not None for writer in self.writers)

    def allowed(self) -> set[str | None]:
        """The marks that OUT may have at the end."""
        marks = self.command.marks
        winners: set[str | None] = {marks[writer.name] for writer in self.writers if writer.code == 0}
        killed: set[str | None] = {marks[writer.name] for writer in self.writers if writer.killed}
        old = marks[OLD] if self.had_old else None
        if winners:
            return winners | killed | ({None} if killed and self.command.work else set())
        return {old} | killed | ({None} if killed and self.command.work else set())


def disturb(
    tally: Tally, subject: Subject, seconds: float, seed: int, names: tuple[str, ...] = (), rounds: int = 0
) -> None:
    """Try the commands, the one with the least time so far next, until the time is up or `rounds` of each."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, tally, subject, seconds, seed, names, rounds)
    process = context.Process(target=_in_a_process, args=arguments)
    process.start()
    sender.close()
    try:
        done: Tally = receiver.recv()
    except EOFError:
        raise SystemExit("the campaign's process of writers died") from None
    finally:
        process.join()
    tally.tried, tally.seconds, tally.failures = done.tried, done.seconds, done.failures


def _in_a_process(
    sender: Any, tally: Tally, subject: Subject, seconds: float, seed: int, names: tuple[str, ...], rounds: int
) -> None:
    os.environ.update(environment())
    commands = [COMMANDS[name] for name in names or COMMANDS]
    if any(command.heavy for command in commands):
        from victim import WARM

        exec(WARM)
    with tempfile.TemporaryDirectory(prefix="distill-writers-") as folder:
        root = Path(folder)
        os.environ["DISTILL_CACHE"] = str(root / "cache")
        prepare_inputs(subject, root)
        _Disturber(tally, subject, root, random.Random(seed)).go(commands, seconds, rounds)
    sender.send(tally)


class _Disturber:
    """Has one writer alone succeed at each command, and then disturbs two."""

    def __init__(self, tally: Tally, subject: Subject, root: Path, rng: random.Random) -> None:
        self.tally, self.subject, self.root, self.rng = tally, subject, root, rng
        self.alone_s: dict[str, float] = {}

    def go(self, commands: list[Command], seconds: float, rounds: int) -> None:
        """Until the time is up, or `rounds` of each command if that is not 0."""
        end, spent, tried = monotonic() + seconds, dict.fromkeys(COMMANDS, 0.0), dict.fromkeys(COMMANDS, 0)
        while monotonic() < end:
            left = [command for command in commands if not rounds or tried[command.name] < rounds]
            if not left:
                break
            command = min(left, key=lambda item: spent[item.name])
            started = monotonic()
            if command.name not in self.alone_s:
                self.learn(command)
            else:
                self.disturb(command)
                tried[command.name] += 1
            spent[command.name] += monotonic() - started

    def learn(self, command: Command) -> None:
        """One writer alone: how long it takes, and what stands there as the old result."""
        folder = self.old(command)
        folder.mkdir()
        writer = self.start(command, OLD, folder / command.out)
        started = monotonic()
        while not writer.poll():
            sleep(LOOK_S)
        if writer.code != 0 or command.mark(folder / command.out) != command.marks[OLD]:
            raise SystemExit(f"{' '.join(writer.words)}: {writer.log.read_text()[-2000:]}")
        self.alone_s[command.name] = monotonic() - started

    def old(self, command: Command) -> Path:
        """The folder with the old result."""
        return self.root / f"old-{command.name}".replace(" ", "-")

    def start(self, command: Command, name: str, out: Path, unshared: bool = False) -> Writer:
        """Fork a writer."""
        writer = Writer(name, command.words(self.subject, out, name), out.parent / f"{name}.log")
        writer.start(unshared)
        return writer

    def disturb(self, command: Command) -> None:
        """One round: perhaps an old result, perhaps a kill, perhaps namespaces."""
        folder = Path(tempfile.mkdtemp(prefix="round-", dir=self.root))
        out, had_old = folder / command.out, not command.fresh and self.rng.random() < 0.5
        if had_old:
            shutil.copytree(self.old(command), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.log"))
        unshared = self.rng.random() < 0.3 and can_unshare()
        delays = sorted((0.0, self.rng.choice((0.0, self.rng.uniform(0, self.alone_s[command.name])))))
        kill_at = self.rng.choice((None, self.rng.uniform(0, 1.5 * self.alone_s[command.name])))
        plan = f"old={had_old} unshared={unshared} second after {delays[1]:.3f} s, kill after {kill_at}"
        this = Round(command, out, [], had_old)
        name = (UNSHARED if unshared else "") + command.name
        with self.tally.timed(name):
            try:
                self.watch(this, delays, kill_at, unshared)
                self.judge(this)
            except Wrong as error:
                self.tally.fail(name, f"{error.what}: {error.detail}", self.story(this, plan), alike=error.what)
            finally:
                for writer in this.writers:
                    writer.kill()
        shutil.rmtree(folder, ignore_errors=True)

    def watch(self, this: Round, delays: list[float], kill_at: float | None, unshared: bool) -> None:
        """Start both writers, look at OUT all the time, and kill one of them when it is time."""
        started, waiting = monotonic(), list(zip((A, B), delays, strict=True))
        most = HANG_FACTOR * self.alone_s[this.command.name] + HANG_S
        while waiting or not this.settled():
            now = monotonic() - started
            if waiting and now >= waiting[0][1]:
                this.writers.append(self.start(this.command, waiting.pop(0)[0], this.out, unshared))
            if kill_at is not None and now >= kill_at and this.writers:
                self.rng.choice(this.writers).kill()
                kill_at = None
            if now > most:
                raise Wrong("a writer waits without end")
            for writer in this.writers:
                writer.poll()
            mark = this.look()
            if mark not in (None, *this.command.marks.values()):
                raise Wrong("OUT was seen with a content of nobody", str(mark))
            if not this.history or this.history[-1] != str(mark):
                this.history.append(str(mark))
            sleep(LOOK_S)

    def judge(self, this: Round) -> None:
        """Raise Wrong unless both ended as they may and OUT is somebody's whose right it is."""
        for writer in this.writers:
            if (problem := writer.problem()) is not None:
                raise Wrong("a writer ended badly", f"{writer.name}: {problem}")
        mark = this.look()
        if not any(writer.killed or writer.code == 0 for writer in this.writers):
            raise Wrong("both writers refused")
        if mark not in this.allowed():
            raise Wrong("OUT is not the result of who succeeded", f"{mark}")
        if (
            this.command.name != "predict"
            and not (this.command.fresh and mark)
            and (not this.command.heavy or self.rng.random() < 0.3)
        ):
            self.once_more(this)

    def once_more(self, this: Round) -> None:
        """Whatever the two have left, a third writer succeeds and sweeps up."""
        from victim import leftovers

        writer = self.start(this.command, A, this.out)
        while not writer.poll():
            sleep(LOOK_S)
        if writer.code != 0:
            raise Wrong("the next writer fails", writer.log.read_text()[-300:])
        if this.look() != this.command.marks[A]:
            raise Wrong("the next writer's result is not there")
        if left := leftovers(this.out.parent):
            raise Wrong("leftovers of killed writers stay", " ".join(left))

    def story(self, this: Round, plan: str) -> bytes:
        """All that is needed to try it again."""
        tree: dict[str, Any] = {"command": this.command.name, "plan": plan, "seen": this.history[-40:]}
        for writer in this.writers:
            log = writer.log.read_text(encoding="utf-8", errors="replace")[-2000:] if writer.log.exists() else ""
            tree[writer.name] = {"words": writer.words, "code": writer.code, "killed": writer.killed, "said": log}
        return json.dumps(tree, indent=1).encode()
