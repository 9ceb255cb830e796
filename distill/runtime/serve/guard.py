"""Refuses requests that are not meant for this service, before anything reads them.

A web page can give its own name the address 127.0.0.1 (DNS rebinding): the browser then sends what the page asks,
and lets it read the answers, because to the browser they come from the page's own host. The header Host still has
the page's name. A length beside a transfer encoding lets two servers in a row see different requests (RFC 9112,
section 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from distill.core.untrusted import short_repr
from distill.runtime.serve.request import ErrorResponse, RequestError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]+))(?::\d*)?")


class Guard:
    """Lets requests for this machine through, and for `hosts`: names and addresses without a port, or "*"."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = {*LOOPBACK, *(host.lower().strip("[]") for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it and close the connection."""
        error = self._fault(scope) if scope["type"] == "http" else None
        await (self._app if error is None else ErrorResponse(error))(scope, receive, send)

    def _fault(self, scope: Scope) -> RequestError | None:
        for host in (value.decode("latin-1") for key, value in scope["headers"] if key == b"host"):
            if not self._allows(host, scope):  # HTTP/1.0 may have none, and no browser speaks it
                return RequestError(
                    421,
                    f"requests for the host {short_repr(host)} are not answered here; "
                    "serve with --allow-host to allow it",
                    unread=True,
                )
        if {key for key, _ in scope["headers"]} >= {b"content-length", b"transfer-encoding"}:
            return RequestError(400, "give Content-Length or Transfer-Encoding, not both", unread=True)
        return None

    def _allows(self, host: str, scope: Scope) -> bool:
        if ANY in self._hosts:
            return True
        parts = _HOST.fullmatch(host.lower())
        if parts is None:
            return False
        name = parts["v6"] or parts["name"].removesuffix(".")
        here = scope.get("server") or ("",)  # the address that the client has connected to
        return name in self._hosts or name == str(here[0]).lower()
