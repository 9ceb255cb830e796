"""Turns a request into a Prediction within the limits: admits it, reads its body, and runs it in a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from distill.core.cores import default_threads
from distill.core.errors import BundleError, ImageError
from distill.core.terminal import note, warn
from distill.preprocess.images import open_image
from distill.preprocess.inputs import EncodedExample
from distill.runtime.golden import replay_golden
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.serve.batching import Batcher
from distill.runtime.serve.metrics import ServiceMetrics
from distill.runtime.serve.request import (
    CLIENT_CLOSED_REQUEST,
    Limits,
    RequestError,
    media_type,
    parse_request,
    read_body,
)

IMAGE = "image"  # the name of an image without a file, in an error
READY = "ready"


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is decoded and tokenised, and when that was done (perf_counter)."""

    id: str
    row: EncodedExample
    ready_at: float


class Service:
    """One Bundle, its queue and its threads, between `start` and `stop`. `state` is "ready", or why it is not."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.state = "starting: replaying the golden answers"
        self.in_progress = 0
        self._bytes_reserved = 0
        self._readers = ThreadPoolExecutor(default_threads(), "read")  # a decoded image takes up to 200 MB each
        self.metrics = ServiceMetrics(predictor.bundle, lambda: self.in_progress, lambda: self._batcher.waiting)

    async def start(self) -> None:
        """Open the queue, and replay the Bundle's golden answers in the background."""
        limits = self.limits
        self._batcher: Batcher[PreparedRequest, Prediction] = Batcher(
            self._run_batch, lambda request: len(request.row.ids), limits.max_batch, limits.max_wait_ms / 1000
        )
        self._verifying = asyncio.get_running_loop().create_task(self._verify())

    async def stop(self) -> None:
        """Finish what is queued and stop the threads."""
        await self._verifying
        self.state = "stopping"
        await self._batcher.close()
        self._readers.shutdown()
        note("stopped; all accepted requests were answered")

    async def predict(self, request: Request) -> Prediction:
        """Raises RequestError for a request that cannot be answered, for whatever reason."""
        start, status = time.perf_counter(), 200
        try:
            with self._admit() as reserve:
                media_type(request.headers.get("content-type", ""))
                body = await self._receive(request, reserve)
                self.metrics.observe_stage("body", time.perf_counter() - start)
                left = self.limits.timeout_s - (time.perf_counter() - start)
                return await self._predict_within(left, request, body)
        except RequestError as error:
            status = error.status
            raise
        except BaseException:
            status = 500
            raise
        finally:
            self.metrics.count_request(status, time.perf_counter() - start)

    @contextmanager
    def _admit(self) -> Iterator[Callable[[int], None]]:
        """A place among the requests in progress. Yields a function that reserves so many bytes until the end."""
        if self.state != READY:
            raise RequestError(503, self.state, unread=True)
        if self.in_progress >= self.limits.max_queue:
            raise RequestError(
                503, f"{self.in_progress} requests are in progress already; try again later", unread=True
            )
        reserved = 0

        def reserve(size: int) -> None:
            nonlocal reserved
            if self._bytes_reserved + size > self.limits.max_total_bytes:
                raise RequestError(503, "too many large bodies are in progress; try again later", unread=True)
            reserved += size
            self._bytes_reserved += size

        self.in_progress += 1
        try:
            yield reserve
        finally:
            self.in_progress -= 1
            self._bytes_reserved -= reserved

    async def _receive(self, request: Request, reserve: Callable[[int], None]) -> bytes:
        limits = self.limits
        try:
            return await asyncio.wait_for(read_body(request, limits.max_bytes, reserve), limits.timeout_s)
        except asyncio.TimeoutError as error:
            raise RequestError(
                408, f"the body was not complete after {limits.timeout_s:g} s", unread=True
            ) from error

    async def _predict_within(self, seconds: float, request: Request, body: bytes) -> Prediction:
        """The prediction, unless the time is up or the client leaves: then its work is dropped where it stands."""
        loop = asyncio.get_running_loop()
        preparing = loop.run_in_executor(self._readers, self._prepare, request.headers["content-type"], body)
        prediction = loop.create_task(self._batcher.submit(preparing))
        disconnect = loop.create_task(_wait_for_disconnect(request))
        try:
            await asyncio.wait({prediction, disconnect}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if prediction.done():
                return prediction.result()
            if disconnect.done():
                raise RequestError(CLIENT_CLOSED_REQUEST, "the client left before the response")
            raise RequestError(504, f"no prediction within {self.limits.timeout_s:g} s; try again later")
        except BundleError as error:
            warn(str(error))  # for the operator alone: it names files
            raise RequestError(500, "the model fails on this request") from error
        finally:
            prediction.cancel()
            disconnect.cancel()
            await asyncio.gather(prediction, disconnect, return_exceptions=True)

    def _prepare(self, content_type: str, body: bytes) -> PreparedRequest:
        start = time.perf_counter()
        post = parse_request(content_type, body)
        try:
            if post.image is not None:
                open_image(post.image, IMAGE, self.limits.max_pixels).close()
            image = self.predictor.preprocessor.image(post.image, IMAGE)
        except ImageError as error:
            raise RequestError(422, str(error), post.id) from error
        row = self.predictor.preprocessor.rows([post.text or ""], [image])[0]
        end = time.perf_counter()
        self.metrics.observe_stage("read", end - start)
        return PreparedRequest(post.id, row, end)

    def _run_batch(self, requests: list[PreparedRequest]) -> list[Prediction]:
        start = time.perf_counter()
        predictions = self.predictor.predict_batch(
            [request.id for request in requests], [request.row for request in requests]
        )
        self.metrics.observe_stage("model", time.perf_counter() - start)
        self.metrics.observe_batch(len(requests))
        for request in requests:
            self.metrics.observe_stage("wait", start - request.ready_at)
        return predictions

    async def _verify(self) -> None:
        try:
            report = await asyncio.get_running_loop().run_in_executor(None, replay_golden, self.predictor)
        except BundleError as error:
            warn(str(error))
            self.state = "not ready: the golden answers cannot be replayed"
            return
        if report.passed:
            self.state = READY
            note(f"ready: {report.cases} golden answers replayed, logits differ by {report.logit_rms:.2g}")
        else:
            self.state = "not ready: the Bundle's golden answers are not reproduced on this machine"
            warn(f"{self.state}; `distill verify {self.predictor.bundle.folder}` says more")


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
