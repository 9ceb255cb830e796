"""Serves a Bundle on a port until it is told to stop, with uvicorn."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from distill.core.errors import ServiceError
from distill.core.output.terminal import note, warn
from distill.runtime.opened import RunOptions
from distill.runtime.predictor import Predictor
from distill.runtime.serve.app import create_app
from distill.runtime.serve.connection import TimedConnection, connection_limits
from distill.runtime.serve.request import Limits

KILL_AFTER_S = 5.0  # after the time to finish requests, for threads that nothing else can end


def serve(
    folder: Path, host: str, port: int, options: RunOptions, limits: Limits, allow_hosts: Sequence[str] = ()
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests in progress. Requests must be for this machine, for
    `host`, or for one of `allow_hosts`; `options` open the Bundle. Raises BundleError and ServiceError."""
    listener = listen(host, port)
    try:
        predictor = Predictor.load(folder, options.threads, options)
    except BaseException:
        listener.close()
        raise
    address, number = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        warn(
            f"{shown} can be reached from other machines, and anybody there may send requests: there is no "
            "password and no encryption. Put a proxy that has both in front, or leave --host out. Requests by any "
            "other name than this address are refused: allow names with --allow-host"
        )
    note(
        f"{folder.name}: {len(predictor.bundle.labels)} labels, {predictor.bundle.precision}; http://{shown}:{number}"
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once all requests are finished
        _Server(uvicorn_config(predictor, limits, (host, *allow_hosts))).run(sockets=[listener])


def uvicorn_config(predictor: Predictor, limits: Limits, hosts: Sequence[str] = ()) -> uvicorn.Config:
    """Plain HTTP/1.1, no log of requests, and time to finish those in progress."""
    return uvicorn.Config(
        create_app(predictor, limits, hosts),
        http=TimedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=connection_limits().backlog,
        timeout_graceful_shutdown=math.ceil(limits.timeout_s) + 1,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0 takes a free one. Raises ServiceError."""
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=connection_limits().backlog,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServiceError(f"{host}:{port}: {reason}; give another --host or --port") from error


class _Server(uvicorn.Server):
    """A server that ends its process after the time to finish requests, whatever its threads do."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        super().handle_exit(sig, frame)
        timer = threading.Timer((self.config.timeout_graceful_shutdown or 0) + KILL_AFTER_S, _end_process)
        timer.daemon = True
        timer.start()


def _end_process() -> None:
    warn("ended without finishing: a thread was still running")
    os._exit(1)
