"""Turns a request into a Prediction within the limits: admits it, reads its body, and lets a worker run it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from distill.core.errors import BundleError, ImageError
from distill.core.machine.cores import default_threads
from distill.core.output.terminal import note, warn
from distill.preprocess.inputs import EncodedExample
from distill.runtime.golden import replay_golden
from distill.runtime.opened import Features
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.serve.connection import QuietAccept
from distill.runtime.serve.image_readers import ImageReaders
from distill.runtime.serve.image_worker import WorkerSpec
from distill.runtime.serve.metrics import ServiceMetrics
from distill.runtime.serve.request import (
    CLIENT_CLOSED_REQUEST,
    Limits,
    PredictRequest,
    RequestError,
    media_type,
    parse_request,
    read_body,
)

READY, STOPPING = "ready", "stopping"
MAX_WORKERS = 8  # processes that decode images; each takes some 40 MB, and decodes faster than a core predicts
ANSWER_WITHIN_S = 2.0  # a service whose readers have not answered for so long is not ready


Result = TypeVar("Result")


class Service:
    """One Predictor and its requests, between `start` and `stop`. `state` is "ready", or why it is not."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.state = "starting: replaying the golden answers"
        self.in_progress = 0
        self._waiting_for_images = 0
        self._abandoned = 0
        self._bytes_reserved = 0
        self._jobs: set[Future[Any]] = set()  # of the Predictor's workers, that are not done
        self._readers = ThreadPoolExecutor(default_threads(), "read")  # parses and tokenises, and decodes nothing
        spec = WorkerSpec(predictor.preprocessor.spec.image, limits.max_pixels, limits.image_timeout_s)
        self._images = ImageReaders(spec, min(default_threads(), MAX_WORKERS))
        self.metrics = ServiceMetrics(predictor.bundle, lambda: self.in_progress, self._waiting)

    async def start(self) -> None:
        """Replay the Bundle's golden answers in the background, and be ready then."""
        asyncio.get_running_loop().set_exception_handler(QuietAccept())
        self._images.start()
        self._verifying = asyncio.get_running_loop().create_task(self._verify())

    async def stop(self) -> None:
        """Stop the threads that read, once all requests are answered or dropped; end the processes, whatever they
        do."""
        self.state = STOPPING
        await self._images.stop()
        await self._verifying
        self._readers.shutdown()
        if self._abandoned:
            warn(f"stopped; {self._abandoned} accepted requests were not answered in time")
        else:
            note("stopped; all accepted requests were answered")

    async def readiness(self) -> str:
        """READY, or why the service should not be asked now."""
        if self.state != READY:
            return self.state
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.run_in_executor(self._readers, lambda: None), ANSWER_WITHIN_S)
        except asyncio.TimeoutError:
            return "not ready: no thread that reads requests answers"
        if not await self._images.answer(ANSWER_WITHIN_S):
            return "not ready: no process that decodes images answers"
        return READY

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
        except BaseException as error:
            status = 500
            self._abandoned += isinstance(error, asyncio.CancelledError)
            raise
        finally:
            self.metrics.count_request(status, time.perf_counter() - start)

    @contextmanager
    def _admit(self) -> Iterator[Callable[[int], None]]:
        """A place among the requests in progress. Yields a function that reserves so many bytes until the end."""
        if self.state != READY:
            raise RequestError(503, self.state, unread=True)
        places = self.in_progress - self._waiting_for_images  # those have as many places of their own
        if places >= self.limits.max_queue:
            raise RequestError(503, f"{places} requests are in progress already; try again later", unread=True)
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
        prediction = loop.create_task(self._answer(request.headers["content-type"], body))
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
            tasks = (prediction, disconnect)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, content_type: str, body: bytes) -> Prediction:
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        post, row = await loop.run_in_executor(self._readers, self._read, content_type, body)
        text_features: Callable[[], Features | None] | None = None
        alone = not self._jobs
        has_image = post.image is not None and self.predictor.preprocessor.reads_images
        if post.image is not None and has_image:
            # A worker that is free runs the text tower meanwhile, and on beside the image tower; else one runs all
            # of it afterwards.
            early = self._submit(partial(self.predictor.text_features, row, alone)) if row.has_text else None
            try:
                row = await self._with_image(row, post.image, post.id)
                if early is not None and not early.cancel():
                    if self._waiting():  # another post has more use of a worker than one that waits in it
                        await asyncio.wrap_future(early)
                    text_features = early.result
            finally:
                if early is not None:
                    early.cancel()
        ready = time.perf_counter()
        self.metrics.observe_stage("read", ready - start)
        wide = alone and row.has_text and not has_image
        run = partial(self._run, ready, partial(self.predictor.predict_row, post.id, row, text_features, wide))
        return await asyncio.wrap_future(self._submit(run))

    def _submit(self, function: Callable[[], Result]) -> Future[Result]:
        """Let one of the Predictor's workers run it."""
        job = self.predictor.pool.submit(function)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def _waiting(self) -> int:
        """The number of jobs that no worker has begun."""
        return sum(not job.running() and not job.done() for job in tuple(self._jobs))

    def _read(self, content_type: str, body: bytes) -> tuple[PredictRequest, EncodedExample]:
        """The request, and its text encoded; its image is still to come."""
        post = parse_request(content_type, body)
        return post, self.predictor.preprocessor.rows([post.text or ""], [None])[0]

    async def _with_image(self, row: EncodedExample, image: bytes, id_: str) -> EncodedExample:
        if self._waiting_for_images >= self.limits.max_queue:
            raise RequestError(503, f"{self._waiting_for_images} images wait already; try again later", id_)
        self._waiting_for_images += 1
        try:
            return replace(row, image=await self._images.read(image))
        except ImageError as error:
            raise RequestError(422, str(error), id_) from error
        finally:
            self._waiting_for_images -= 1

    def _run(self, ready: float, predict: Callable[[], Prediction]) -> Prediction:
        start = time.perf_counter()
        prediction = predict()
        self.metrics.observe_stage("model", time.perf_counter() - start)
        self.metrics.observe_stage("wait", start - ready)
        return prediction

    async def _verify(self) -> None:
        try:
            report = await asyncio.get_running_loop().run_in_executor(None, replay_golden, self.predictor)
        except BundleError as error:
            warn(str(error))
            self.state = "not ready: the golden answers cannot be replayed"
            return
        except Exception as error:  # noqa: BLE001 - whatever a stranger's Bundle does here, it never gets ready
            warn(f"the golden answers cannot be replayed: {type(error).__name__}: {error}")
            self.state = "not ready: the golden answers cannot be replayed"
            return
        if self.state == STOPPING:
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
