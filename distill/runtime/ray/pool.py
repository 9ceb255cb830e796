"""Ray itself: started here or joined, without its chatter, and the workers it has room for. Knows no models."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.cores import default_threads
from distill.core.errors import ClusterError
from distill.core.extras import require
from distill.core.terminal import note, warn

STORE_BYTES = 500_000_000  # of shared memory on this machine: the Bundle, blocks and answers on their way
REACH_S = 10  # for a head node to answer


@dataclass(frozen=True)
class Pool:
    """What is asked for: workers in all and threads of each, 0 for as fits; the cluster's address, None for this
    machine alone."""

    workers: int = 0
    threads: int = 0
    address: str | None = None


@dataclass(frozen=True)
class Machines:
    """The cores there are now: of all machines, and of the largest."""

    cores: int
    largest: int


def fitted(pool: Pool, machines: Machines) -> Pool:
    """The pool with workers and threads that fit: one thread each where nothing is said. Raises ClusterError."""
    threads = pool.threads
    if not threads:
        threads = min(max(1, machines.cores // pool.workers), machines.largest) if pool.workers else 1
    if threads > machines.largest:
        raise ClusterError(f"a worker of {threads} threads has no room: the largest machine has {machines.largest}")
    workers = pool.workers or max(1, machines.cores // threads)
    if workers * threads > machines.cores:
        warn(
            f"{workers} workers of {threads} threads need {workers * threads} cores; there are {machines.cores}: "
            "the others wait for machines to join"
        )
    return Pool(workers, threads, pool.address)


def import_ray() -> None:
    """Import Ray Data without usage statistics. Raises InstallError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for module in ("pyarrow", "ray.data"):
        require(module, "--engine ray", "ray")


@contextmanager
def session(pool: Pool) -> Iterator[Machines]:
    """Ray, started here or joined, without its chatter; one that runs in this process already is used and left."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ours = not ray.is_initialized()
    if ours and pool.address is None:
        cores = max(default_threads(), pool.workers * max(1, pool.threads))
        start = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        start = {}
    try:
        if ours:
            note("starting Ray on this machine" if pool.address is None else f"joining Ray at {pool.address}")
            _refuse_silent(pool.address or "local")
            with one_line("look at `ray status`", ConnectionError, RuntimeError, ValueError):
                _init(pool.address or "local", start)
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        yield Machines(sum(nodes), max(nodes, default=0))
    finally:
        if ours:
            ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Raise ClusterError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto" finds one on this machine or fails at once
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        raise ClusterError(
            f"{address}: no Ray answers there ({error}); see `ray status` on its head node"
        ) from error


def _init(address: str, start: dict[str, Any]) -> None:
    """`ray.init` without what its native half prints, which no logger of Python's holds back: greetings here, and
    later an error about every pool of workers that is none (the object that it misses is held to the end)."""
    import ray

    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **start)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def one_line(then: str, *kinds: type[Exception]) -> Iterator[None]:
    """Ray's errors, which fill a screen, and those of more `kinds` as a ClusterError of one line."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, *kinds) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ClusterError(f"Ray: {lines[-1] if 'Traceback' in lines[0] else lines[0]}; {then}") from error
