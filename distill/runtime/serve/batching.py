"""Runs requests that wait at the same time in one batch.

While one batch runs, the next requests gather. A request that finds the model idle runs at once, unless others are
being prepared at that moment: then it waits for them, `max_wait_s` at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")
# No input is padded to more than this many times its length, or by so much as costs next to nothing.
MAX_PADDING_RATIO = 2
MIN_PADDING = 16


@dataclass(eq=False)
class _Waiting(Generic[Input, Result]):
    input: Input
    length: int
    since: float  # the loop's time
    result: asyncio.Future[Result]


class Batcher(Generic[Input, Result]):
    """A queue, and one thread in which `run` takes a batch of inputs and returns their results in order."""

    def __init__(
        self,
        run: Callable[[list[Input]], list[Result]],
        length: Callable[[Input], int],
        max_batch: int,
        max_wait_s: float,
    ) -> None:
        self._run, self._length = run, length
        self._max_batch, self._max_wait_s = max_batch, max_wait_s
        self._waiting: list[_Waiting[Input, Result]] = []
        self._preparing = 0
        self._changed = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "model")
        self._worker = asyncio.get_running_loop().create_task(self._work())

    @property
    def waiting(self) -> int:
        """The number of inputs that no batch has taken yet."""
        return len(self._waiting)

    async def submit(self, prepared: Awaitable[Input]) -> Result:
        """The result for an input that is still being prepared. Raises what preparing or running it raises."""
        self._preparing += 1
        try:
            value = await prepared
        finally:
            self._preparing -= 1
            self._changed.set()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(value, self._length(value), loop.time(), result))
        return await result

    async def close(self) -> None:
        """Run all that waits, then stop."""
        self._closing = True
        self._changed.set()
        await self._worker
        self._thread.shutdown()

    async def _work(self) -> None:
        while True:
            if self._waiting:
                await self._gather()
                await self._run_batch(self._take_batch())
            elif self._closing:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _gather(self) -> None:
        """Wait for inputs that are being prepared, as long as the oldest may wait."""
        loop = asyncio.get_running_loop()
        until = self._waiting[0].since + self._max_wait_s
        while self._preparing and len(self._waiting) < self._max_batch and (left := until - loop.time()) > 0:
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _take_batch(self) -> list[_Waiting[Input, Result]]:
        """The oldest input and those of like length that wait longest; none whose caller has given up."""
        self._waiting = [item for item in self._waiting if not item.result.done()]
        if not self._waiting:
            return []
        oldest = self._waiting[0].length
        batch = [item for item in self._waiting if _is_alike(item.length, oldest)][: self._max_batch]
        self._waiting = [item for item in self._waiting if item not in batch]
        return batch

    async def _run_batch(self, batch: list[_Waiting[Input, Result]]) -> None:
        if not batch:
            return
        inputs = [item.input for item in batch]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, inputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            if len(batch) > 1:  # one input may be at fault: the others must not suffer
                for item in batch:
                    await self._run_batch([item])
            elif not batch[0].result.done():
                batch[0].result.set_exception(error)
            return
        for item, result in zip(batch, results, strict=True):
            if not item.result.done():
                item.result.set_result(result)


def _is_alike(a: int, b: int) -> bool:
    return max(a, b) <= max(MAX_PADDING_RATIO * min(a, b), min(a, b) + MIN_PADDING)
