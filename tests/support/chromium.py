"""A headless Chromium that is told what to do over two pipes, and folders served to it. Knows no page of ours.

Pipes and not a port: no package is needed to speak to it, and nobody else can.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# Chromium reads orders from descriptor 3 and answers on 4.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
SECONDS = 120


class Tab:
    """One page in a browser, and all that it said."""

    def __init__(self, orders: int, answers: int) -> None:
        self.orders, self.answers = orders, answers
        self.count, self.left, self.session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(answers, selectors.EVENT_READ)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One order and its answer."""
        self.count += 1
        order = {"id": self.count, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        rest = json.dumps(order).encode() + b"\0"
        while rest:
            rest = rest[os.write(self.orders, rest) :]
        deadline = time.monotonic() + SECONDS
        while True:
            said = self._hear(deadline)
            if said.get("id") == self.count:
                assert "error" not in said, f"{method}: {said['error']}"
                return dict(said["result"])
            self.events.append(said)

    def _hear(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.left:
            if not self.selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"the browser said nothing for {SECONDS} s")
            piece = os.read(self.answers, 1 << 20)
            assert piece, "the browser is gone"
            self.left += piece
        message, _, self.left = self.left.partition(b"\0")
        return dict(json.loads(message))

    def run(self, script: str) -> Any:
        """What an expression, or a promise, comes to in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait for an expression to be true in the page, and give what it is."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(condition)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition} did not become true; {self.trouble()}")
            time.sleep(0.02)
        return value

    def open(self, url: str) -> None:
        """Go there and wait for the page to be loaded."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def look(self, width: int, height: int = 900, dark: bool = False) -> None:
        """A window of another size and scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, down and up, as a keyboard sends it."""
        for kind in ("keyDown", "keyUp"):
            given = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **given)

    def choose(self, selector: str, file: Path) -> None:
        """A file in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def screenshot(self, out: Path, whole: bool = True) -> None:
        """A PNG of the page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        out.write_bytes(base64.b64decode(shot["data"]))

    def trouble(self) -> list[str]:
        """What the browser complained of."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"])[:500])
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return found

    def asked(self) -> list[str]:
        """Every address that the page itself asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@contextmanager
def browse(profile: Path, *flags: str) -> Iterator[Tab]:
    """A browser with one tab, gone at the end."""
    assert BROWSER is not None
    there, orders = os.pipe()
    answers, back = os.pipe()
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--hide-scrollbars",
        "--no-first-run",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
        *flags,
    ]
    start = [sys.executable, "-c", START, str(there), str(back), *command]
    with subprocess.Popen(start, pass_fds=(there, back), stderr=subprocess.DEVNULL) as process:
        os.close(there)
        os.close(back)
        try:
            yield Tab(orders, answers)
        finally:
            os.close(orders)  # it ends when nobody can order it any more
            os.close(answers)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """The address at which a folder can be had from this machine alone."""

    class Handler(_Quiet):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
