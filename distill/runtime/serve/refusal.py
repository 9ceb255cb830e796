"""A request that gets no answer: why, and how it is told. Knows HTTP, no models.

Its JSON is that of a row that `distill predict` cannot read: an id and an error.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from distill.data.sources import Fault
from distill.runtime.predictions import json_line

GONE = 499  # nobody reads it: the number by which proxies count clients that left
LINGER_S = 1.0
RETRY_AFTER_S = 1  # a full queue is worked off in about so long


class RefusedError(Exception):
    """A status with its reason. With `unread`, the body has not been read to its end."""

    def __init__(self, status: int, error: str, id_: str = "", unread: bool = False) -> None:
        super().__init__(error)
        self.status, self.fault, self.unread = status, Fault(id_, error), unread


class Refusal(Response):
    """A RefusedError on the wire.

    A client that still sends would not see an answer behind which the connection is torn: what it sends is thrown
    away for a moment before that is done.
    """

    media_type = "application/json"

    def __init__(self, refused: RefusedError) -> None:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if refused.status == 503 else {}
        if refused.unread:
            headers["Connection"] = "close"
        super().__init__(json_line(refused.fault), refused.status, headers)
        self.unread = refused.unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, and the end of it last."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if self.unread:
            with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect):
                await asyncio.wait_for(_drain(Request(scope, receive)), LINGER_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(request: Request) -> None:
    async for _ in request.stream():
        pass
