"""Decodes images in processes of their own, so that one that takes too long is ended with its process.

A thread cannot be ended, and would keep a processor, its memory and the stop of the service as long as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import distill
from distill.core.errors import ImageError
from distill.core.output.terminal import warn
from distill.runtime.serve.image_worker import IMAGE, LENGTH, OK, WorkerSpec

START_TIMEOUT_S = 60.0  # to import Pillow on a slow device
RETRY_S = 5.0  # before a worker that could not be started is started again
# One arena of malloc and no threads for linear algebra: the limit is one of address space, which both reserve.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_Job = tuple[bytes, "asyncio.Future[bytes]"]


class ImageReaders:
    """`count` worker processes and the queue before them, between `start` and `stop`."""

    def __init__(self, spec: WorkerSpec, count: int) -> None:
        self._spec, self._count = spec, count
        self._answered_at = float("-inf")
        self._warned = False

    def start(self) -> None:
        """Start the workers in the background."""
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()) for _ in range(self._count)]

    async def stop(self) -> None:
        """End the workers, whatever they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read(self, content: bytes) -> NDArray[np.uint8]:
        """Decode an image to uint8 (size, size, 3), as `image_to_uint8` does. Raises ImageError."""
        size = self._spec.image.size
        if not content:
            raise ImageError(f"{IMAGE}: is empty")
        return np.frombuffer(await self._ask(content), dtype=np.uint8).reshape(size, size, 3)

    async def answer(self, within_s: float) -> bool:
        """Whether a worker answers, or has answered so many seconds ago."""
        if time.monotonic() - self._answered_at < within_s:
            return True
        with contextlib.suppress(asyncio.TimeoutError, ImageError):
            await asyncio.wait_for(self._ask(b""), within_s)
            return True
        return False

    async def _ask(self, content: bytes) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((content, answer))
        return await answer

    async def _work(self) -> None:
        """Take jobs from the queue, with one process after another."""
        process = None
        try:
            while True:
                if process is None or process.returncode is not None:
                    process = await self._start_process()
                content, answer = await self._jobs.get()
                if answer.done():  # who asked has left
                    continue
                if process.returncode is not None:  # it was ended while it waited
                    process = await self._start_process()
                if not await self._decode(process, content, answer):
                    await _kill(process)
        finally:
            if process is not None:
                await _kill(process)

    async def _decode(
        self, process: asyncio.subprocess.Process, content: bytes, answer: asyncio.Future[bytes]
    ) -> bool:
        """Hand over the answer or an ImageError; False when the process is of no use any more."""
        try:
            reply = await asyncio.wait_for(_exchange(process, content), self._spec.timeout_s)
        except asyncio.TimeoutError:
            reply, alive = f"{IMAGE}: not decoded within {self._spec.timeout_s:g} s; resize it".encode(), False
        except (OSError, asyncio.IncompleteReadError):
            reply, alive = f"{IMAGE}: the decoder crashes on it; save it again".encode(), False
        else:
            self._answered_at, alive = time.monotonic(), True
        if answer.done():
            return alive
        if alive and reply[:1] == OK:
            answer.set_result(reply[1:])
        else:
            answer.set_exception(ImageError(reply[alive:].decode("utf-8")))
        return alive

    async def _start_process(self) -> asyncio.subprocess.Process:
        """A worker that is ready, however long that takes."""
        while True:
            process = None
            try:
                process = await _spawn(self._spec)
                assert process.stdout is not None
                await asyncio.wait_for(_receive(process.stdout), START_TIMEOUT_S)
                return process
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                if not self._warned:
                    warn(f"no process that decodes images can be started ({error}); trying again")
                self._warned = True
                if process is not None:
                    await _kill(process)
            except asyncio.CancelledError:
                if process is not None:
                    await _kill(process)
                raise
            await asyncio.sleep(RETRY_S)


async def _spawn(spec: WorkerSpec) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "distill.runtime.serve.image_worker",
        spec.to_json(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 22,  # bytes of an answer that are buffered: the pixels of a model of 1024 x 1024
        cwd=Path(distill.__file__).parent.parent,  # this distill is imported, and nothing from the caller's folder
        env={**os.environ, **ENVIRONMENT},
        start_new_session=os.name == "posix",  # Ctrl-C is for the service
    )


async def _exchange(process: asyncio.subprocess.Process, content: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(LENGTH.pack(len(content)))
    process.stdin.write(content)
    await process.stdin.drain()
    return await _receive(process.stdout)


async def _receive(stream: asyncio.StreamReader) -> bytes:
    (size,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return await stream.readexactly(size)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
