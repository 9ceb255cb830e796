"""From a request to a Prediction: admitted, received, read, batched, answered. Knows limits, no routes."""

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
from distill.preprocess.inputs import Row
from distill.runtime import golden
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.serve.batching import Batcher
from distill.runtime.serve.gauges import Gauges
from distill.runtime.serve.intake import kind_of, parse, read
from distill.runtime.serve.limits import Limits
from distill.runtime.serve.refusal import GONE, RefusedError

IMAGE = "image"  # what an image without a file is called in an error
READY = "ready"


@dataclass(frozen=True)
class Question:
    """A post that was read, and when that was done (perf_counter)."""

    id: str
    row: Row
    ready_at: float


class Service:
    """One Bundle, its queue and its threads; lives between `start` and `stop`. `state` is "ready", or why not."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.state = "starting: the Bundle's own answers are given again"
        self.in_hand = 0
        self._bytes_held = 0
        self._readers = ThreadPoolExecutor(default_threads(), "read")  # a decoded image takes up to 200 MB each
        self.gauges = Gauges(predictor.bundle, lambda: self.in_hand, lambda: self._batcher.waiting)

    async def start(self) -> None:
        """Open the queue and, behind it, ask the Bundle what it was asked where it was made."""
        limits = self.limits
        self._batcher: Batcher[Question, Prediction] = Batcher(
            self._run, lambda question: len(question.row.ids), limits.max_batch, limits.max_wait_ms / 1000
        )
        self._verifying = asyncio.get_running_loop().create_task(self._verify())

    async def stop(self) -> None:
        """Answer what is queued and give the threads back."""
        await self._verifying
        self.state = "stopping"
        await self._batcher.close()
        self._readers.shutdown()
        note("stopped; what was accepted has been answered")

    async def answer(self, request: Request) -> Prediction:
        """Raises RefusedError, in whatever way it comes to nothing."""
        started, status = time.perf_counter(), 200
        try:
            with self._admitted() as hold:
                kind_of(request.headers.get("content-type", ""))
                body = await self._received(request, hold)
                self.gauges.took("body", time.perf_counter() - started)
                left = self.limits.timeout_s - (time.perf_counter() - started)
                return await self._within(left, request, body)
        except RefusedError as refused:
            status = refused.status
            raise
        except BaseException:
            status = 500
            raise
        finally:
            self.gauges.answered(status, time.perf_counter() - started)

    @contextmanager
    def _admitted(self) -> Iterator[Callable[[int], None]]:
        """A place among those in hand; what it gives takes room for so many bytes, until the end."""
        if self.state != READY:
            raise RefusedError(503, self.state, unread=True)
        if self.in_hand >= self.limits.max_queue:
            raise RefusedError(503, f"{self.in_hand} posts are in hand already; ask again later", unread=True)
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._bytes_held + size > self.limits.max_bytes_held:
                raise RefusedError(503, "too many large bodies are in hand; ask again later", unread=True)
            held += size
            self._bytes_held += size

        self.in_hand += 1
        try:
            yield hold
        finally:
            self.in_hand -= 1
            self._bytes_held -= held

    async def _received(self, request: Request, hold: Callable[[int], None]) -> bytes:
        try:
            return await asyncio.wait_for(read(request, self.limits.max_bytes, hold), self.limits.timeout_s)
        except asyncio.TimeoutError as error:
            raise RefusedError(
                408, f"the body was not in after {self.limits.timeout_s:g} s", unread=True
            ) from error

    async def _within(self, seconds: float, request: Request, body: bytes) -> Prediction:
        """The answer, unless the time is up or the client leaves: then its work is dropped where it stands."""
        loop = asyncio.get_running_loop()
        preparing = loop.run_in_executor(self._readers, self._read, request.headers["content-type"], body)
        answer = loop.create_task(self._batcher.ask(preparing))
        left = loop.create_task(_left(request))
        try:
            await asyncio.wait({answer, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if left.done():
                raise RefusedError(GONE, "the client left before the answer")
            raise RefusedError(504, f"no answer within {self.limits.timeout_s:g} s; ask again later")
        except BundleError as error:
            warn(str(error))  # for who runs the service: it names files, which are nobody else's business
            raise RefusedError(500, "the model fails on this post") from error
        finally:
            answer.cancel()
            left.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)

    def _read(self, content_type: str, body: bytes) -> Question:
        started = time.perf_counter()
        post = parse(content_type, body)
        try:
            if post.image is not None:
                open_image(post.image, IMAGE, self.limits.max_pixels).close()
            image = self.predictor.reader.image(post.image, IMAGE)
        except ImageError as error:
            raise RefusedError(422, str(error), post.id) from error
        row = self.predictor.reader.rows([post.text or ""], [image])[0]
        done = time.perf_counter()
        self.gauges.took("read", done - started)
        return Question(post.id, row, done)

    def _run(self, questions: list[Question]) -> list[Prediction]:
        started = time.perf_counter()
        answers = self.predictor.predict_batch([one.id for one in questions], [one.row for one in questions])
        self.gauges.took("model", time.perf_counter() - started)
        self.gauges.ran(len(questions))
        for one in questions:
            self.gauges.took("wait", started - one.ready_at)
        return answers

    async def _verify(self) -> None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, golden.replay, self.predictor)
        except BundleError as error:
            warn(str(error))
            self.state = "not ready: the Bundle's golden answers cannot be replayed"
            return
        if found.passed:
            self.state = READY
            note(f"ready: {found.cases} golden answers given again, logits differ by {found.drift:.2g}")
        else:
            self.state = "not ready: the Bundle does not answer here as where it was made"
            warn(f"{self.state}; `distill verify {self.predictor.bundle.folder}` says more")


async def _left(request: Request) -> None:
    """Ends when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
