"""Runs `distill serve` on a loopback port: in a thread, or as a process."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distill.runtime.predictor import Predictor

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")

from distill.runtime.serve.request import Limits  # noqa: E402
from distill.runtime.serve.server import listen, uvicorn_config  # noqa: E402


@contextmanager
def serving(
    predictor: Predictor, wait_ready: bool = True, hosts: Sequence[str] = (), **limits: Any
) -> Iterator[Any]:
    """A client of a service that runs in a thread."""
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn_config(predictor, Limits(**limits), hosts))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=20, limits=httpx.Limits(max_connections=40)) as client:
            while wait_ready and client.get("/readyz").status_code != 200:
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def counted(client: Any, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def until(client: Any, name: str, value: float) -> None:
    """Wait for a gauge to have that value."""
    end = time.monotonic() + 10
    while counted(client, name) != value:
        assert time.monotonic() < end
        time.sleep(0.005)


def opened(client: Any, head: str) -> socket.socket:
    connected = socket.create_connection((client.base_url.host, client.base_url.port), timeout=15)
    connected.sendall(head.replace("\n", "\r\n").encode("ascii"))
    return connected


HEAD = "POST /v1/predict HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"


def started(bundle: Path, *words: str) -> tuple[Any, int]:
    """`distill serve` as a process, and its port."""
    command = [
        sys.executable,
        "-m",
        "distill.cli",
        "serve",
        str(bundle),
        "--port",
        "0",
        "--threads",
        "1",
        *words,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr is not None
    said = []
    while not (said and said[-1].startswith("ready")):
        said.append(process.stderr.readline())
        assert said[-1], said
    return process, int(next(line for line in said if "http://" in line).rpartition(":")[2])


def workers(parent: int, mark: str = "") -> list[int]:
    """The processes of `parent` that decode images and have `mark` in their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ancestor = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if ancestor == parent and "image_worker" in words and mark in words:
            found.append(int(folder.name))
    return found


def send(pids: list[int], signal_: signal.Signals) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal_)
