"""What a service does with clients and images that mean it harm: nothing waits for them, and all of it ends."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from PIL import Image
from services import HEAD, counted, encoded, opened, send, serving, started, until, workers

from distill.runtime.bundle import Bundle
from distill.runtime.predictor import Predictor
from distill.runtime.serve import connection, service
from distill.runtime.serve.connection import ConnectionLimits, QuietAccept, connection_limits

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")


@pytest.fixture(scope="module")
def predictor(chain: Chain) -> Predictor:
    return Predictor(Bundle.open(chain.int8), threads=1)


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process decodes, so that stopping it stops all."""
    monkeypatch.setattr(service, "MAX_WORKERS", 1)


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[Any]:
    with serving(predictor, hosts=("Memes.Example",)) as found:
        yield found


def png(side: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(buffer, "PNG")
    return buffer.getvalue()


def post(client: Any, **fields: Any) -> Any:
    return client.post("/v1/predict", json=fields)


def test_texts_and_the_next_image_do_not_wait_for_one_that_takes_too_long(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ANSWER_WITHIN_S", 0.3)
    with serving(predictor, max_megapixels=0.031, image_timeout_s=2) as client, ThreadPoolExecutor(1) as pool:
        assert post(client, image=encoded(png())).status_code == 200
        stopped = workers(os.getpid(), "31000")
        send(stopped, signal.SIGSTOP)
        slow = pool.submit(post, client, id="slow", image=encoded(png()))
        until(client, "distill_posts_in_hand", 1)
        for _ in range(5):
            assert post(client, text="words").status_code == 200
        time.sleep(0.4)
        assert client.get("/readyz").json() == {"status": "not ready: no process that decodes images answers"}
        assert not slow.done()
        assert slow.result().status_code == 422
        assert slow.result().json() == {"id": "slow", "error": "image: not decoded within 2 s; resize it"}
        assert post(client, image=encoded(png())).status_code == 200
        assert client.get("/readyz").status_code == 200
        assert not set(stopped) & set(workers(os.getpid()))


def test_images_that_wait_leave_the_places_of_texts_alone_and_have_a_bound(predictor: Predictor) -> None:
    with serving(predictor, max_queue=2, max_megapixels=0.032) as client, ThreadPoolExecutor(4) as pool:
        assert post(client, image=encoded(png())).status_code == 200
        stopped = workers(os.getpid(), "32000")
        send(stopped, signal.SIGSTOP)
        images = [pool.submit(post, client, image=encoded(png())) for _ in range(2)]
        until(client, "distill_posts_in_hand", 2)
        time.sleep(0.5)  # in hand, they are read before they wait: a third could overtake them
        while (third := post(client, image=encoded(png()))).status_code == 503 and "in progress" in third.text:
            time.sleep(0.01)
        assert (third.status_code, third.json()["error"]) == (503, "2 images wait already; try again later")
        assert post(client, text="words").status_code == 200
        send(stopped, signal.SIGCONT)
        assert [image.result().status_code for image in images] == [200, 200]


def test_a_process_that_ends_costs_no_more_than_its_image(predictor: Predictor) -> None:
    with serving(predictor, max_megapixels=0.033) as client, ThreadPoolExecutor(1) as pool:
        assert post(client, image=encoded(png())).status_code == 200
        first = workers(os.getpid(), "33000")
        send(first, signal.SIGSTOP)
        image = pool.submit(post, client, image=encoded(png()))
        until(client, "distill_posts_in_hand", 1)
        time.sleep(0.2)
        send(first, signal.SIGKILL)
        assert image.result().status_code == 422
        assert "the decoder crashes on it" in image.result().json()["error"]
        assert post(client, image=encoded(png())).status_code == 200
        send(workers(os.getpid(), "33000"), signal.SIGKILL)  # while nothing is asked of it
        time.sleep(0.2)
        assert post(client, image=encoded(png())).status_code == 200


def test_a_process_that_decodes_has_no_more_memory_than_an_image_takes() -> None:
    code = "from distill.runtime.serve import image_worker as w; w._bound_memory({}); bytearray(700 << 20)"
    for pixels, ends in ((1, 1), (20_000_000, 0)):
        run = subprocess.run([sys.executable, "-c", code.format(pixels)], capture_output=True, text=True)
        assert run.returncode == ends, run.stderr
        assert ("MemoryError" in run.stderr) == bool(ends)


def test_told_to_stop_it_ends_whatever_it_decodes(chain: Chain) -> None:
    process, port = started(chain.int8, "--timeout", "1", "--image-timeout", "3600")
    body = json.dumps({"image": encoded(png())})
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connected:
        while not (stopped := workers(process.pid)):
            time.sleep(0.05)
        time.sleep(1)
        send(stopped, signal.SIGSTOP)
        connected.sendall(f"{HEAD}Content-Length: {len(body)}\n\n".replace("\n", "\r\n").encode() + body.encode())
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert connected.recv(10_000).startswith(b"HTTP/1.1 504")
    process.communicate(timeout=10)
    assert not any(Path(f"/proc/{pid}").exists() for pid in stopped)


def test_told_to_stop_it_ends_a_thread_that_does_not(chain: Chain) -> None:
    code = (
        "import time; from pathlib import Path; from distill.runtime.serve import server, service, request\n"
        "from distill.runtime.opened import RunOptions\n"
        "service.replay_golden = lambda predictor: time.sleep(600)\nserver.KILL_AFTER_S = 0.3\n"
        f"server.serve(Path({str(chain.int8)!r}), '127.0.0.1', 0, RunOptions(1), request.Limits(timeout_s=0.1))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "http://" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert said.splitlines()[-1] == "warning: ended without finishing: a thread was still running"
    assert process.returncode == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "[::2]", "0.0.0.0", "", "a b"])
def test_a_request_for_another_host_is_refused_in_one_line(client: Any, host: str) -> None:
    for method, path in (("GET", "/v1/bundle"), ("GET", "/metrics"), ("POST", "/v1/predict")):
        refused = client.request(method, path, headers={"Host": host}, content=b"")
        assert refused.status_code == 421
        assert "--allow-host" in refused.json()["error"]
        assert "\n" not in refused.json()["error"]


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:80", "localhost.", "127.0.0.1:8000", "[::1]:8000", "memes.example:1"]
)
def test_a_request_for_this_machine_or_an_allowed_host_is_answered(client: Any, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_two_lengths_of_one_body_close_the_connection(client: Any) -> None:
    smuggled = "0\n\nGET /metrics HTTP/1.1\nHost: localhost\n\n"
    head = f"{HEAD}Content-Length: 5\nTransfer-Encoding: chunked\n\n"
    with opened(client, head + smuggled) as connected:
        said = b""
        while piece := connected.recv(10_000):
            said += piece
    assert said.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in said.lower()
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"text": "a", "text": "b"}', "the key 'text' appears twice"),
        (b'{"text": "a", "id": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "not readable as JSON"),
    ],
)
def test_json_is_as_strict_as_in_predict(client: Any, body: bytes, said: str) -> None:
    refused = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 400
    assert said in refused.json()["error"]


def test_a_body_of_countless_fields_is_refused_at_once(client: Any) -> None:
    head, part = b'--x\r\nContent-Disposition: form-data; name="', b'"\r\n\r\na\r\n'
    form = b"".join(head + b"field %d" % number + part for number in range(100_000)) + b"--x--\r\n"
    as_form = {"content-type": "multipart/form-data; boundary=x"}
    for refused in (
        post(client, **{f"field {number}": "x" for number in range(100_000)}),
        client.post("/v1/predict", content=form, headers=as_form),
    ):
        assert refused.status_code == 422
        assert refused.json()["error"] == "more than 16 fields; give id, text and image"
        assert refused.elapsed.total_seconds() < 3


def ask_for_ever(connected: socket.socket) -> None:
    """Fills every buffer, then waits; that takes longer than the socket's timeout if nobody ends it."""
    while True:
        connected.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


def test_a_client_that_asks_on_and_on_and_reads_nothing_is_cut_off(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WRITE_TIMEOUT_S", 0.3)
    with serving(predictor) as client, opened(client, "") as greedy:
        greedy.settimeout(5)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            ask_for_ever(greedy)
        assert client.get("/healthz").status_code == 200


def test_connections_have_a_bound_that_says_when_to_come_again(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(predictor) as client:
        monkeypatch.setattr(connection, "connection_limits", lambda: ConnectionLimits(4, 8))
        held = [opened(client, "") for _ in range(3)]
        with opened(client, "") as late:
            assert late.recv(10_000).startswith(b"HTTP/1.1 503")
        for one in held:
            one.close()
        time.sleep(0.1)
        with opened(client, "GET /healthz HTTP/1.1\nHost: localhost\n\n") as early:
            assert early.recv(10_000).startswith(b"HTTP/1.1 200")
        assert counted(client, "distill_posts_in_hand") == 0


def test_connections_leave_files_for_the_rest_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for files in (0, 64, 256, 1024, 1 << 20):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        limits = connection_limits.__wrapped__()
        assert 1 <= limits.backlog <= 256
        assert limits.connections + 3 * limits.backlog <= max(8, files - connection.OTHER_FILES)
        assert 4 <= limits.connections <= 1000


def test_a_process_without_files_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    loop, handler = asyncio.new_event_loop(), QuietAccept()
    loop.set_exception_handler(handler)
    try:
        for _ in range(2000):
            loop.call_exception_handler({"message": "x", "exception": OSError(errno.EMFILE, "Too many open files")})
    finally:
        loop.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line
        == "warning: no connection can be accepted: Too many open files; raise the limit of open files (ulimit -n)"
    )


def test_a_process_with_few_files_serves_on_while_many_connect(chain: Chain) -> None:
    few = 96
    command = [sys.executable, "-m", "distill.cli", "serve", str(chain.int8), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)),
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    port = int(first.rpartition(":")[2])
    held = [socket.socket() for _ in range(300)]
    for one in held:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    time.sleep(0.5)
    for one in held:
        one.close()
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connected:
        connected.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connected.recv(10_000).startswith(b"HTTP/1.1 200")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert len(said.splitlines()) <= 3
    assert "Traceback" not in said
