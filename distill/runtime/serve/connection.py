"""A connection on which headers must come in time and answers leave at once. Knows uvicorn's protocol.

Uvicorn waits for ever for the rest of a request's first lines, and clients that send a byte now and then would hold
all connections that a process may have. Bodies are timed elsewhere.

An answer is written twice, head and body. Where TCP is left to gather small pieces, the body waits until the client
acknowledges the head, about 40 ms on Linux. asyncio forbids the gathering, but only on sockets that name TCP as
their protocol, and those that a `socket.create_server` accepts do not.
"""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0


class Connection(H11Protocol):
    """Closed when no whole head of a request has come so long after the connection, or the head, began."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The time begins."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline = self.loop.call_later(HEADERS_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """The time ends with a whole head, and begins anew with the next one's first byte."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
