"""The connections of the service: how many there are, and how long a client may take to send and to read."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import time
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from distill.core.output.terminal import warn

HEADERS_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 10.0
MAX_CONNECTIONS, MAX_BACKLOG = 1000, 256
OTHER_FILES = 64  # that a process has open beside its connections: libraries, pipes, a model
WARN_EVERY_S = 60.0
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections may be open, and how many may wait to be accepted."""

    connections: int
    backlog: int


@functools.cache
def connection_limits() -> ConnectionLimits:
    """As many as fit into the files that this process may have open.

    asyncio accepts as many as the backlog holds before it looks at one, a few times over.
    """
    free = max(8, _max_files() - OTHER_FILES)
    return ConnectionLimits(min(MAX_CONNECTIONS, free // 2), min(MAX_BACKLOG, max(1, free // 8)))


def _max_files() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1 << 16
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 16 if soft == resource.RLIM_INFINITY else soft


class QuietAccept:
    """An exception handler of an event loop: one line, now and then, where no connection can be accepted.

    asyncio tries as often as the backlog is long, each time with a traceback.
    """

    def __init__(self) -> None:
        self._warned_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle one exception, as `loop.set_exception_handler` says."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            warn(f"no connection can be accepted: {error.strerror}; raise the limit of open files (ulimit -n)")


class TimedConnection(H11Protocol):
    """A connection that is closed when the head of a request is not complete within HEADERS_TIMEOUT_S, or what is
    sent is not read within WRITE_TIMEOUT_S; and at once when there are too many.

    uvicorn waits for ever for the rest of a head, and for a client that reads nothing, so that such clients would
    hold all connections that a process may have. Bodies are timed by the service.

    TCP_NODELAY is set because a response is written twice, head and body: where TCP gathers small pieces, the body
    waits until the client acknowledges the head, about 40 ms on Linux. asyncio sets it too, but only on sockets
    that name TCP as their protocol, which those that a `socket.create_server` accepts do not.
    """

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # pause_writing is called for anything that is not taken at once
        if len(self.connections) > connection_limits().connections:
            transport.write(TOO_MANY)
            transport.close()
            return
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline = self.loop.call_later(HEADERS_TIMEOUT_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Cancel the timeout with a complete head, and start it again with the first byte of the next."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def pause_writing(self) -> None:
        """Start the timeout of the client that does not read."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel it."""
        self._cancel_write()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeouts."""
        self._cancel()
        self._cancel_write()
        super().connection_lost(exc)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_write(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
