"""One command in a forked process: how it started, what it came to, and PID namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path

NEW_USER, NEW_PID = 0x10000000, 0x20000000  # flags of Linux's unshare
ALLOWED = (0, 2)  # exit codes


@dataclass
class Writer:
    """One process that writes, and what it came to."""

    name: str
    words: list[str]
    log: Path
    pid: int = 0
    code: int | None = None
    killed: bool = False

    def start(self, unshared: bool) -> None:
        """Fork it, perhaps as process 1 of a PID namespace."""
        self.pid = os.fork()
        if self.pid == 0:
            _write(self, unshared)

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def kill(self) -> None:
        """End it, and what it has started."""
        if not self.poll():
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def problem(self) -> str | None:
        """What is wrong with how it ended."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in text:
            return f"a traceback: {text.strip().splitlines()[-1]}"
        if self.killed or self.code == 0:
            return None
        if self.code not in ALLOWED:
            return f"exit code {self.code}: {text.strip()[-200:]}"
        errors = [line for line in text.splitlines() if line.startswith(("error:", "Error:"))]
        return None if len(errors) == 1 else f"exit code 2 with {len(errors)} lines of error"


def _write(writer: Writer, unshared: bool) -> None:
    """The child: run the command and leave without the parent's clean-up."""
    code = 70
    try:
        os.setpgid(0, 0)
        log = os.open(writer.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        if unshared:
            _enter_namespace()
        from distill.cli.main import main

        os.chdir(writer.log.parent)
        main(writer.words, prog_name="distill")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:  # noqa: BLE001 - nothing may leave the child by another way
        os.write(2, traceback.format_exc().encode())
    os._exit(code)


def _enter_namespace() -> None:
    """Go on as process 1 of a new PID namespace; who started this one waits, and ends as it does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_PID) != 0 and libc.unshare(NEW_USER | NEW_PID) != 0:
        os._exit(71)
    inner = os.fork()
    if inner:
        _, status = os.waitpid(inner, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)))


def can_unshare() -> bool:
    """Whether this user may make PID namespaces."""
    pid = os.fork()
    if pid == 0:
        _enter_namespace()
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
