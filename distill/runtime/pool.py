"""Runs a function on many items in worker threads: results in order, few items in flight.

Threads are enough: onnxruntime, Pillow and tokenizers release the interpreter's lock while they work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 8  # items in flight for each worker, so that one large image stops no other worker


class WorkerPool:
    """Threads that start when they are first needed, and are shared by all callers."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor = ThreadPoolExecutor(workers, "distill")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the function's result for every item, in order. An error is raised in the place of its result, and
        what waits is dropped. One worker is the caller's own thread."""
        if self.workers == 1:
            yield from map(function, items)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self._executor.submit(function, item))
                if len(waiting) >= AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def beside(self, function: Callable[[], Result]) -> Callable[[], Result]:
        """Run a function beside the caller, if a worker is free. Call what this returns for the result: a function
        that no worker has begun runs then and there."""
        future = self.submit(function)
        return lambda: function() if future.cancel() else future.result()

    def submit(self, function: Callable[[], Result]) -> Future[Result]:
        """Let a worker run the function as soon as one is free."""
        return self._executor.submit(function)
