"""A real server on a loopback port: the answers of the Predictor, and a status for every limit."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chain import ROOT, Chain
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from services import HEAD, counted, encoded, opened, serving, started, until

from distill.cli.main import main
from distill.data.generated import LABELS
from distill.data.sources import FailedRow
from distill.preprocess.inputs import ModelInputs
from distill.runtime.bundle import Bundle
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Predictor
from distill.runtime.serve import connection as connection_module
from distill.runtime.serve.connection import TimedConnection


class GatedPredictor(Predictor):
    """A model that runs when the gate is open, and remembers how many it was given each time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        super().__init__(bundle, threads)
        self.gate = threading.Event()
        self.gate.set()
        self.running = threading.Event()
        self.sizes: list[int] = []
        self.failing = False

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        self.sizes.append(len(batch.present))
        self.running.set()
        assert self.gate.wait(20)
        if self.failing:
            raise MemoryError("no memory at /secret/place")
        return super().logits(batch)


@pytest.fixture(scope="module")
def predictor(chain: Chain) -> GatedPredictor:
    return GatedPredictor(Bundle.open(chain.int8))


@pytest.fixture(autouse=True)
def open_gate(predictor: GatedPredictor) -> Iterator[None]:
    """A test that fails leaves no gate closed for the next one."""
    yield
    predictor.gate.set()


@pytest.fixture(scope="module")
def client(predictor: GatedPredictor) -> Iterator[Any]:
    with serving(predictor, max_mb=0.2, max_megapixels=0.1) as found:
        yield found


@pytest.fixture(scope="module")
def image(chain: Chain) -> bytes:
    image = chain.splits.train[0].image
    assert image is not None
    return image.read_bytes()


def test_json_and_forms_with_both_halves_or_one_are_answered_as_by_the_predictor(
    client: Any, predictor: GatedPredictor, image: bytes
) -> None:
    for text, sent in (
        ("WHO DID THIS", image),
        ("words alone", None),
        ("", image),
        ("¿Qué? 政治 🔥", image),
    ):
        expected = json_line(predictor.predict(text, sent, "7"))
        post = {"id": "7", "text": text, "image": None if sent is None else encoded(sent)}
        files = None if sent is None else {"image": ("meme.jpg", sent)}
        by_json = client.post("/v1/predict", json=post)
        by_form = client.post("/v1/predict", data={"id": "7", "text": text}, files=files or {"image": ("", b"")})
        for answer in (by_json, by_form):
            assert (answer.status_code, answer.content) == (200, expected)
    assert client.post("/v1/predict", files={"image": ("../a/meme.jpg", image)}).json()["id"] == "meme.jpg"
    assert client.post("/v1/predict", json={"text": "words", "image": None}).json()["id"] == ""


def test_posts_that_come_together_are_answered_as_alone_and_a_broken_one_hurts_no_other(
    predictor: GatedPredictor, chain: Chain, image: bytes
) -> None:
    examples = [replace(example, text=example.text or "words") for example in chain.splits.train[:12]]
    posts = [{"id": e.id, "text": e.text, "image": encoded(e.image.read_bytes())} for e in examples if e.image]
    posts.insert(5, {"id": "broken", "text": "words", "image": encoded(image[: len(image) // 2])})
    with serving(predictor) as client, ThreadPoolExecutor(14) as pool:
        predictor.running.clear()
        predictor.gate.clear()
        first = pool.submit(client.post, "/v1/predict", json={"text": "first"})
        assert predictor.running.wait(20), "the first post runs, and the others gather behind it"
        asked = [pool.submit(client.post, "/v1/predict", json=post) for post in posts]
        refused = asked.pop(5).result()
        until(client, "distill_queue_length", len(examples))
        predictor.gate.set()
        answers = [one.result() for one in asked]
        assert first.result().status_code == 200
    assert refused.status_code == 422
    assert refused.json()["id"] == "broken"
    assert "the image is damaged" in refused.json()["error"]
    for answer, example in zip(answers, examples, strict=True):
        assert answer.content == json_line(predictor.predict(example.text, example.image, example.id))


def drawn(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("status", "said", "request_"),
    [
        (400, "not readable as JSON", {"content": b"{", "headers": {"content-type": "application/json"}}),
        (400, "not a multipart form", {"content": b"--x", "headers": {"content-type": "multipart/form-data"}}),
        (
            400,
            "not a multipart form",
            {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=y"}},
        ),
        (413, "over the limit of 200,000 bytes", {"json": {"text": "a" * 300_000}}),
        (415, "content type must be", {"content": b"text", "headers": {"content-type": "text/plain"}}),
        (415, "content type must be", {"content": b""}),
        (422, "neither a text nor an image", {"json": {"text": " "}}),
        (422, "must be a JSON object", {"json": [{"text": "a"}]}),
        (422, "not permitted", {"json": {"text": "a", "labels": []}}),
        (422, "not base64", {"json": {"image": "a\nb="}}),
        (422, "text: Input should be a valid string", {"json": {"text": 7}}),
        (422, "at most 100000", {"json": {"text": "a" * 100_001}}),
        (422, "has a field twice", {"files": [("image", ("a", b"a")), ("image", ("b", b"b"))]}),
        (422, "not an image in a supported format", {"files": {"image": ("a.jpg", b"<svg/>")}}),
        (422, "image: ", {"data": {"image": "no file"}, "files": {"text": (None, "a")}}),
        (422, "400 x 300 pixels, over the limit of 100,000", {"files": {"image": ("a.png", drawn(400, 300))}}),
    ],
)
def test_what_cannot_be_answered_has_its_status_and_reason(
    client: Any, status: int, said: str, request_: dict[str, Any]
) -> None:
    answer = client.post("/v1/predict", **request_)
    assert answer.status_code == status, answer.text
    assert said in FailedRow(**answer.json()).error
    assert "/" not in answer.json()["error"].replace("application/json", "").replace("multipart/form-data", "")
    assert client.post("/v1/predict", json={"text": "the next"}).status_code == 200


def test_other_places_have_the_same_form_of_error(client: Any) -> None:
    assert client.get("/nowhere").json() == {"id": "", "error": "Not Found"}
    refused = client.get("/v1/predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def endless(connected: socket.socket, piece: bytes) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        connected.sendall(piece)
        time.sleep(0.001)


def test_a_body_without_a_length_is_refused_while_it_still_comes(client: Any) -> None:
    with opened(client, f"{HEAD}Transfer-Encoding: chunked\n\n") as connected:
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(4):  # 262,144 bytes of an endless body
            connected.sendall(piece)
        said = b""
        while not said.endswith(b"}\n"):
            said += connected.recv(10_000)
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in head.lower()
        assert b"over the limit" in body
        with pytest.raises(OSError, match=r"reset|Broken pipe|aborted"):  # it is not read for ever
            endless(connected, piece)


def test_a_declared_length_is_refused_before_a_byte_is_read(client: Any) -> None:
    with opened(client, f"{HEAD}Content-Length: 300000\nExpect: 100-continue\n\n") as connected:
        assert connected.recv(10_000).startswith(b"HTTP/1.1 413")


def test_a_slow_body_a_slow_answer_and_slow_headers_end(
    predictor: GatedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HEADERS_TIMEOUT_S", 0.3)
    with serving(predictor, timeout_s=0.3) as client:
        with opened(client, f"{HEAD}Content-Length: 20\n\n") as slow:
            assert slow.recv(10_000).startswith(b"HTTP/1.1 408")
        for begun in ("", "POST /v1/pre"):
            with opened(client, begun) as slow:
                assert slow.recv(10_000) == b""
        predictor.gate.clear()
        late = client.post("/v1/predict", json={"text": "words"})
        predictor.gate.set()
        assert late.status_code == 504
        assert "within 0.3 s" in late.json()["error"]
        assert client.post("/v1/predict", json={"text": "words"}).status_code == 200


def test_an_answer_leaves_without_waiting_for_an_acknowledgement(
    predictor: GatedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    made = TimedConnection.connection_made

    def watched(self: TimedConnection, transport: Any) -> None:
        made(self, transport)
        at_once.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(TimedConnection, "connection_made", watched)
    with serving(predictor):
        assert at_once
        assert all(at_once)


def test_a_full_queue_says_when_to_come_again(predictor: GatedPredictor) -> None:
    with serving(predictor, max_queue=2) as client, ThreadPoolExecutor(2) as pool:
        predictor.gate.clear()
        asked = [pool.submit(client.post, "/v1/predict", json={"text": "words"}) for _ in range(2)]
        until(client, "distill_posts_in_hand", 2)
        refused = client.post("/v1/predict", json={"text": "one more"})
        predictor.gate.set()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "2 requests are in progress already" in refused.json()["error"]
        assert [one.result().status_code for one in asked] == [200, 200]


def test_large_bodies_together_are_bounded(predictor: GatedPredictor) -> None:
    with serving(predictor, max_mb=0.01) as client:
        held = [opened(client, f"{HEAD}Content-Length: 9999\n\n{'x' * 9990}") for _ in range(16)]
        until(client, "distill_posts_in_hand", 16)
        refused = client.post("/v1/predict", json={"text": "x" * 5000})
        for connected in held:
            connected.close()
        assert refused.status_code == 503
        assert "large bodies" in refused.json()["error"]
        until(client, "distill_posts_in_hand", 0)
        assert client.post("/v1/predict", json={"text": "x" * 5000}).status_code == 200


def test_a_client_that_leaves_is_not_worked_for(predictor: GatedPredictor) -> None:
    with serving(predictor) as client, ThreadPoolExecutor(1) as pool:
        predictor.gate.clear()
        first = pool.submit(client.post, "/v1/predict", json={"text": "first"})
        until(client, "distill_posts_in_hand", 1)
        with opened(client, f'{HEAD}Content-Length: 17\n\n{{"text": "words"'):
            until(client, "distill_posts_in_hand", 2)
        with opened(client, f'{HEAD}Content-Length: 17\n\n{{"text": "words"}}'):
            until(client, "distill_queue_length", 1)
        until(client, 'distill_predict_requests_total{status="499"}', 2)
        predictor.sizes.clear()
        predictor.gate.set()
        assert first.result().status_code == 200
        assert predictor.sizes == []
        until(client, "distill_posts_in_hand", 0)


def test_a_model_that_fails_says_nothing_of_the_server(
    predictor: GatedPredictor, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(predictor) as client:
        predictor.failing = True
        try:
            answer = client.post("/v1/predict", json={"text": "words"})
        finally:
            predictor.failing = False
        assert answer.status_code == 500
        assert answer.json()["error"] == "internal error; the service's log says more"
        assert client.post("/v1/predict", json={"text": "words"}).status_code == 200


def test_everything_is_counted(predictor: GatedPredictor, image: bytes) -> None:
    with serving(predictor) as client:
        for number in range(3):
            client.post("/v1/predict", json={"text": f"post {number}"})
        client.post("/v1/predict", json={})
        assert counted(client, 'distill_predict_requests_total{status="200"}') == 3
        assert counted(client, 'distill_predict_requests_total{status="422"}') == 1
        for stage, count in {"body": 4, "read": 3, "wait": 3, "model": 3, "all": 4}.items():
            assert counted(client, f'distill_predict_seconds_count{{stage="{stage}"}}') == count
        if sys.platform == "linux":
            assert counted(client, "process_resident_memory_bytes") > 30e6


def test_it_is_alive_before_it_is_ready_and_answers_nobody_until_then(predictor: GatedPredictor) -> None:
    predictor.gate.clear()
    with serving(predictor, wait_ready=False) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/predict", json={"text": "words"}).status_code == 503
        predictor.gate.set()
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        assert client.post("/v1/predict", json={"text": "words"}).status_code == 200


def test_a_bundle_that_answers_otherwise_here_never_gets_ready(chain: Chain) -> None:
    bundle = Bundle.open(chain.int8)
    other = [[value + 5 for value in row] for row in bundle.golden["logits"]]
    strange = Predictor(replace(bundle, golden=bundle.golden | {"logits": other}), threads=1)
    with serving(strange, wait_ready=False) as client:
        while "starting" in (answer := client.get("/readyz")).json()["status"]:
            time.sleep(0.01)
        assert answer.status_code == 503
        assert "golden answers are not reproduced on this machine" in answer.json()["status"]
        assert client.post("/v1/predict", json={"text": "words"}).status_code == 503


def test_it_says_what_answers_and_describes_itself(client: Any, chain: Chain) -> None:
    about = client.get("/v1/bundle").json()
    bundle = Bundle.open(chain.int8)
    assert [label["name"] for label in about["labels"]] == list(LABELS)
    assert [label["threshold"] for label in about["labels"]] == [float(v) for v in bundle.thresholds.values]
    assert (about["sha256"], about["precision"], about["limits"]["max_mb"]) == (bundle.sha256, "int8", 0.2)
    assert str(chain.int8) not in json.dumps(about)
    operation = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]
    assert set(operation["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503", "504"}
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/v1/predict", json=example).status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_told_to_stop_it_answers_what_it_has_accepted(chain: Chain) -> None:
    process, port = started(chain.int8)
    body = json.dumps({"text": "words"})
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connected:
        head = f"{HEAD}Content-Length: {len(body)}\n\n".replace("\n", "\r\n")
        connected.sendall(f"{head}{body[:5]}".encode("ascii"))
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connected.sendall(body[5:].encode("ascii"))
        assert connected.recv(10_000).startswith(b"HTTP/1.1 200")
    _, said = process.communicate(timeout=20)
    assert said.splitlines() == ["stopped; all accepted requests were answered"]
    assert process.returncode in (0, -signal.SIGTERM)


def test_an_address_that_is_taken_and_a_missing_extra_are_one_line(
    chain: Chain, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: str) -> str:
        result = CliRunner().invoke(main, ["serve", str(chain.int8), *words])
        assert result.exit_code == 2
        return result.stderr

    assert f"127.0.0.1:{client.base_url.port}: Address already in use" in refused(
        "--port", str(client.base_url.port)
    )
    assert "give another --host or --port" in refused("--host", "no.such.host.invalid")
    for name in [name for name in sys.modules if name.startswith("distill.runtime.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert refused() == "error: distill serve needs uvicorn; pip install 'distill[serve]'\n"


def test_serving_imports_nothing_that_trains() -> None:
    names = "('torch', 'transformers', 'onnx', 'optimum', 'sklearn')"
    code = f"import sys, distill.runtime.serve.server; sys.exit(any(name in sys.modules for name in {names}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
