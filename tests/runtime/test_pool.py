"""Workers give results in order, hold few items, and drop what waits when one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from distill.runtime.pool import AHEAD, WorkerPool


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whichever_is_done_first(workers: int) -> None:
    def slow_then_quick(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(WorkerPool(workers).map(slow_then_quick, range(40))) == list(range(40))


def test_a_large_item_stops_no_other_worker_and_few_are_taken_ahead() -> None:
    taken, large = [], threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    def run(number: int) -> int:
        assert number or large.wait(10)
        return number

    results = WorkerPool(2).map(run, numbers())
    threading.Timer(0.1, large.set).start()
    assert next(results) == 0
    assert len(taken) == 2 * AHEAD
    assert list(results) == list(range(1, 1000))


def test_two_workers_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert list(WorkerPool(2).map(lambda _: both.wait() >= 0, range(8))) == [True] * 8


def test_an_error_stands_in_the_place_of_its_result_and_what_waits_is_dropped() -> None:
    begun = []

    def run(number: int) -> int:
        begun.append(number)
        time.sleep(0.005)
        if number == 3:
            raise ValueError("three")
        return number

    results = WorkerPool(2).map(run, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    time.sleep(0.05)
    assert len(begun) < 10


def test_an_error_of_the_items_is_raised_and_what_waits_is_dropped() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(WorkerPool(2).map(abs, items()))


def test_what_runs_beside_the_caller_runs_once_whether_a_worker_is_free_or_not() -> None:
    pool, held, ran = WorkerPool(1), threading.Event(), []

    def count() -> int:
        ran.append(threading.current_thread())
        return len(ran)

    free = pool.beside(count)
    time.sleep(0.05)
    assert free() == 1
    pool.submit(lambda: held.wait(10))
    busy = pool.beside(count)
    assert busy() == 2
    held.set()
    pool.submit(lambda: None).result()
    assert len(ran) == 2
    assert ran[1] is threading.current_thread() is not ran[0]
