"""A Bundle behind a port, until it is told to stop. Knows sockets and uvicorn."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
from pathlib import Path

import uvicorn

from distill.core.errors import ServiceError
from distill.core.terminal import note, warn
from distill.runtime.predictor import Predictor
from distill.runtime.serve.app import create_app
from distill.runtime.serve.connection import Connection
from distill.runtime.serve.limits import Limits

BACKLOG = 2048


def serve(folder: Path, host: str, port: int, threads: int, limits: Limits) -> None:
    """Answer until SIGINT or SIGTERM, then finish what was accepted. Raises BundleError and ServiceError."""
    listener = listen(host, port)
    predictor = Predictor.load(folder, threads)
    address, number = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        warn(
            f"{shown} can be reached from other machines, and anybody there may ask: no password, no encryption. "
            "Put a proxy that has both in front, or leave --host out"
        )
    note(
        f"{folder.name}: {len(predictor.bundle.labels)} labels, {predictor.bundle.precision}; http://{shown}:{number}"
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn sends it on once all is answered
        uvicorn.Server(configured(predictor, limits)).run(sockets=[listener])


def configured(predictor: Predictor, limits: Limits) -> uvicorn.Config:
    """Uvicorn's settings: plain HTTP/1.1, no log of requests, and time to finish."""
    return uvicorn.Config(
        create_app(predictor, limits),
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=math.ceil(limits.timeout_s) + 1,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0 takes a free one. Raises ServiceError."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServiceError(f"{host}:{port}: {reason}; give another --host or --port") from error
