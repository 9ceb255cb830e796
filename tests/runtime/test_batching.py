"""Questions that wait together run together, like lengths with like, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from distill.runtime.serve.batching import Batcher

Asked = Batcher[str, str]


@dataclass
class Runner:
    """Answers in capitals, remembers every batch, and holds the first one back until it is let go."""

    batches: list[list[str]] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, questions: list[str]) -> list[str]:
        self.batches.append(questions)
        self.let_go.wait(5)
        if "bad" in questions:
            raise ValueError("a bad question")
        return [question.upper() for question in questions]


async def soon(question: str, after: float = 0) -> str:
    await asyncio.sleep(after)
    return question


def batched(
    talk: Callable[[Asked, Runner], Awaitable[None]], held: bool = True, max_batch: int = 4, wait: float = 0.0
) -> Runner:
    """The runner, after that talk with a Batcher; `held` runs "first" beforehand, and does not finish it."""
    runner = Runner()

    async def whole() -> None:
        batcher: Asked = Batcher(runner, len, max_batch, wait)
        if held:
            first = asyncio.create_task(batcher.submit(soon("first")))
            while not runner.batches:
                await asyncio.sleep(0.001)
        else:
            runner.let_go.set()
        await talk(batcher, runner)
        await batcher.close()
        if held:
            assert await first == "FIRST"

    asyncio.run(whole())
    return runner


def test_what_gathers_while_a_batch_runs_is_run_together() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        asks = [asyncio.create_task(batcher.submit(soon(word))) for word in "abcdef"]
        await asyncio.sleep(0.01)
        assert batcher.waiting == 6
        runner.let_go.set()
        assert await asyncio.gather(*asks) == list("ABCDEF")

    assert batched(talk).batches == [["first"], ["a", "b", "c", "d"], ["e", "f"]]


def test_a_lone_question_waits_for_nobody() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        started = time.perf_counter()
        assert await batcher.submit(soon("alone")) == "ALONE"
        assert time.perf_counter() - started < 1

    batched(talk, held=False, wait=5.0)


def test_one_that_is_ready_waits_for_one_that_is_being_prepared_and_no_longer_than_allowed() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        await asyncio.gather(batcher.submit(soon("a")), batcher.submit(soon("b", 0.02)))
        late = asyncio.create_task(batcher.submit(soon("late", 1.0)))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(batcher.submit(soon("c")), 0.9) == "C"
        assert await late == "LATE"

    assert batched(talk, held=False, wait=0.2).batches == [["a", "b"], ["c"], ["late"]]


def test_a_question_that_cannot_be_prepared_is_not_waited_for() -> None:
    async def broken() -> str:
        await asyncio.sleep(0.01)
        raise ValueError("no image")

    async def talk(batcher: Asked, runner: Runner) -> None:
        started = time.perf_counter()
        bad, good = await asyncio.gather(
            batcher.submit(broken()), batcher.submit(soon("a")), return_exceptions=True
        )
        assert isinstance(bad, ValueError)
        assert good == "A"
        assert time.perf_counter() - started < 2

    batched(talk, held=False, wait=5.0)


def test_long_questions_do_not_make_short_ones_long() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        long = "x" * 100
        asks = [asyncio.create_task(batcher.submit(soon(word))) for word in ("a", long, "b", long + "y")]
        await asyncio.sleep(0.01)
        runner.let_go.set()
        await asyncio.gather(*asks)

    assert batched(talk).batches[1:] == [["a", "b"], ["x" * 100, "x" * 100 + "y"]]


def test_a_question_on_which_the_runner_fails_hurts_no_other() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        asks = [asyncio.create_task(batcher.submit(soon(word))) for word in ("a", "bad", "c")]
        await asyncio.sleep(0.01)
        runner.let_go.set()
        a, bad, c = await asyncio.gather(*asks, return_exceptions=True)
        assert (a, c) == ("A", "C")
        assert isinstance(bad, ValueError)

    assert batched(talk).batches[1:] == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]


def test_who_has_given_up_is_not_run() -> None:
    async def talk(batcher: Asked, runner: Runner) -> None:
        a, b = (asyncio.create_task(batcher.submit(soon(word))) for word in "ab")
        await asyncio.sleep(0.01)
        a.cancel()
        await asyncio.sleep(0)
        runner.let_go.set()
        assert await b == "B"
        with pytest.raises(asyncio.CancelledError):
            await a

    assert batched(talk).batches == [["first"], ["b"]]


def test_what_waits_when_it_is_closed_is_answered() -> None:
    asks = []

    async def talk(batcher: Asked, runner: Runner) -> None:
        asks.extend(asyncio.create_task(batcher.submit(soon(word))) for word in "abc")
        await asyncio.sleep(0.01)
        runner.let_go.set()
        await batcher.close()
        assert await asyncio.gather(*asks) == list("ABC")

    batched(talk)
