"""Questions that wait together are run together. Knows asyncio and lengths, nothing of HTTP or of models.

While one batch runs, others gather. A question that finds the runner idle is run at once, unless others are being
prepared at that moment: then it waits for them, `max_wait_s` at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
STRETCH = 2  # no question is padded to more than this many times its length,
SLACK = 16  # or by this much, which costs next to nothing


@dataclass(eq=False)
class _Waiting(Generic[Q, A]):
    question: Q
    length: int
    since: float  # the loop's time
    answer: asyncio.Future[A]


class Batcher(Generic[Q, A]):
    """One queue, one thread in which `run` answers a batch in order."""

    def __init__(
        self, run: Callable[[list[Q]], list[A]], length: Callable[[Q], int], max_batch: int, max_wait_s: float
    ) -> None:
        self._run, self._length = run, length
        self._max_batch, self._max_wait_s = max_batch, max_wait_s
        self._waiting: list[_Waiting[Q, A]] = []
        self._coming = 0
        self._changed = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "model")
        self._worker = asyncio.get_running_loop().create_task(self._work())

    @property
    def waiting(self) -> int:
        """Questions that no batch has taken yet."""
        return len(self._waiting)

    async def ask(self, prepared: Awaitable[Q]) -> A:
        """The answer to a question that is still being prepared. Raises what preparing or answering it raises."""
        self._coming += 1
        try:
            question = await prepared
        finally:
            self._coming -= 1
            self._changed.set()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append(_Waiting(question, self._length(question), loop.time(), answer))
        return await answer

    async def close(self) -> None:
        """Answer all that waits, then stop."""
        self._closing = True
        self._changed.set()
        await self._worker
        self._thread.shutdown()

    async def _work(self) -> None:
        while True:
            if self._waiting:
                await self._gather()
                await self._answer(self._take())
            elif self._closing:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _gather(self) -> None:
        """Wait for those that are on their way, as long as the oldest may have to."""
        loop = asyncio.get_running_loop()
        until = self._waiting[0].since + self._max_wait_s
        while self._coming and len(self._waiting) < self._max_batch and (left := until - loop.time()) > 0:
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _take(self) -> list[_Waiting[Q, A]]:
        """The oldest, and of like length those that have waited longest; nobody who has given up."""
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        if not self._waiting:
            return []
        oldest = self._waiting[0].length
        like = [one for one in self._waiting if _alike(one.length, oldest)]
        taken = like[: self._max_batch]
        self._waiting = [one for one in self._waiting if one not in taken]
        return taken

    async def _answer(self, batch: list[_Waiting[Q, A]]) -> None:
        if not batch:
            return
        questions = [one.question for one in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, questions)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to those who asked
            if len(batch) > 1:  # it may be one question's fault: the others must not suffer
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)


def _alike(a: int, b: int) -> bool:
    return max(a, b) <= max(STRETCH * min(a, b), min(a, b) + SLACK)
