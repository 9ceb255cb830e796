"""Starts Ray on this machine or joins a cluster, without its chatter, and plans how many workers fit."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distill.core.errors import ClusterError
from distill.core.extras import require
from distill.core.machine.cores import default_threads
from distill.core.output.terminal import note, warn
from distill.runtime.opened import RunOptions

STORE_BYTES = 500_000_000  # of shared memory on this machine, for the Bundle, and blocks and results in transit
CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class RayOptions:
    """The number of workers in all and of threads for each, 0 for as many as fit; the address of a running cluster,
    None to start Ray on this machine; and how each worker opens the Bundle."""

    workers: int = 0
    threads: int = 0
    address: str | None = None
    opening: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class ClusterCores:
    """The cores of all machines together, and of the largest machine."""

    total: int
    largest: int


def plan_workers(options: RayOptions, cores: ClusterCores) -> RayOptions:
    """The options with workers and threads that fit: one thread each where neither is set. Raises ClusterError."""
    threads = options.threads
    if not threads:
        threads = min(max(1, cores.total // options.workers), cores.largest) if options.workers else 1
    if threads > cores.largest:
        raise ClusterError(
            f"a worker of {threads} threads has no room: the largest machine has {cores.largest} cores; "
            "give fewer --threads"
        )
    workers = options.workers or max(1, cores.total // threads)
    if workers * threads > cores.total:
        warn(
            f"{workers} workers of {threads} threads need {workers * threads} cores, and the cluster has "
            f"{cores.total}: some workers wait until machines join"
        )
    return replace(options, workers=workers, threads=threads)


def check_ray_installed() -> None:
    """Import Ray Data without usage statistics. Raises InstallError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for module in ("pyarrow", "ray.data"):
        require(module, "--engine ray", "ray")


@contextmanager
def ray_session(options: RayOptions) -> Iterator[ClusterCores]:
    """Start or join Ray, and leave it at the end. A session that this process has already is used and stays."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    starts = not ray.is_initialized()
    if starts and options.address is None:
        cores = max(default_threads(), options.workers * max(1, options.threads))
        arguments = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        arguments = {}
    try:
        if starts:
            note("starting Ray on this machine" if options.address is None else f"joining Ray at {options.address}")
            _check_reachable(options.address or "local")
            with ray_errors("look at `ray status`", ConnectionError, RuntimeError, ValueError):
                _init_silently(options.address or "local", arguments)
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        yield ClusterCores(sum(nodes), max(nodes, default=0))
    finally:
        if starts:
            ray.shutdown()


@contextmanager
def ray_errors(next_step: str, *types: type[Exception]) -> Iterator[None]:
    """Turn Ray's errors, which fill a screen, and those of more `types` into a ClusterError of one line."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, *types) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ClusterError(f"Ray: {lines[-1] if 'Traceback' in lines[0] else lines[0]}; {next_step}") from error


def _check_reachable(address: str) -> None:
    """Raise ClusterError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto" finds Ray on this machine or fails at once
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"{address}: no Ray answers there ({error}); see `ray status` on its head node"
        ) from error


def _init_silently(address: str, arguments: dict[str, Any]) -> None:
    """`ray.init` without what its native half prints, past Python's loggers: greetings at the start, and later an
    error about every worker pool that is gone, written to the descriptor that is open during the start."""
    import ray

    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **arguments)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
