"""A second process that holds something while a test looks on, here or in another namespace of process ids."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")


def writing(target: Path, inside: bool) -> str:
    """Source that is the sole writer of `target` until it is killed; the lock of a folder is inside it."""
    lock = "lock_inside" if inside else "lock_beside"
    return (
        "import time\nfrom pathlib import Path\nfrom distill.core.errors import RunError\n"
        f"from distill.core.storage.lock import sole_writer, {lock}\ntarget = Path({str(target)!r})\n"
        f"with sole_writer(target, {lock}(target), RunError):\n"
        "    print('ready', flush=True)\n    time.sleep(600)\n"
    )


@contextmanager
def second_process(source: str, container: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start it, wait for the line that it prints, and kill it at the end. Source goes on when it reads a line."""
    pipe = subprocess.PIPE
    with subprocess.Popen(_command(source, container), stdin=pipe, stdout=pipe, text=True, env=_home()) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.stdout.read()  # unshare is dead; its child, which has the same standard output, soon is
            time.sleep(0.05)


def go_on(process: subprocess.Popen[str]) -> int:
    """Let it go on to its end; its exit code."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.wait(timeout=60)


def run_python(source: str, container: bool) -> None:
    """Run source to its end in a process of its own."""
    subprocess.run(_command(source, container), env=_home(), check=True)


def _command(source: str, container: bool) -> list[str]:
    return [*(CONTAINER if container else ()), sys.executable, "-c", source]


def _home() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


def require_containers() -> None:
    """Skip the test where a process may not have a namespace of process ids."""
    if shutil.which("unshare") is None or subprocess.run([*CONTAINER, "true"], capture_output=True).returncode:
        pytest.skip("unshare cannot make another namespace of process ids here")
