"""Serves a Bundle on a port until it is told to stop, with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from distill.core.errors import ServiceError
from distill.core.terminal import note, warn
from distill.runtime.predictor import Predictor
from distill.runtime.serve.app import create_app
from distill.runtime.serve.request import Limits

BACKLOG = 2048
HEADERS_TIMEOUT_S = 10.0


def serve(folder: Path, host: str, port: int, threads: int, limits: Limits) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests in progress. Raises BundleError and ServiceError."""
    listener = listen(host, port)
    predictor = Predictor.load(folder, threads)
    address, number = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        warn(
            f"{shown} can be reached from other machines, and anybody there may send requests: there is no "
            "password and no encryption. Put a proxy that has both in front, or leave --host out"
        )
    note(
        f"{folder.name}: {len(predictor.bundle.labels)} labels, {predictor.bundle.precision}; http://{shown}:{number}"
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once all requests are finished
        uvicorn.Server(uvicorn_config(predictor, limits)).run(sockets=[listener])


def uvicorn_config(predictor: Predictor, limits: Limits) -> uvicorn.Config:
    """Plain HTTP/1.1, no log of requests, and time to finish those in progress."""
    return uvicorn.Config(
        create_app(predictor, limits),
        http=TimedConnection,
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


class TimedConnection(H11Protocol):
    """A connection that is closed when the head of a request is not complete within HEADERS_TIMEOUT_S.

    uvicorn waits for ever for the rest of a head, so that clients which send a byte now and then would hold all
    connections that a process may have. Bodies are timed by the service.

    TCP_NODELAY is set because a response is written twice, head and body: where TCP gathers small pieces, the body
    waits until the client acknowledges the head, about 40 ms on Linux. asyncio sets it too, but only on sockets
    that name TCP as their protocol, which those that a `socket.create_server` accepts do not.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline = self.loop.call_later(HEADERS_TIMEOUT_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Cancel the timeout with a complete head, and start it again with the first byte of the next."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._cancel()
        super().connection_lost(exc)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
