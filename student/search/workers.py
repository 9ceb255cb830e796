"""Work on candidates, one after another here or in processes beside: each of these has its share of the cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch

from distill.core.errors import BackboneError, DataError, ExportError, InstallError, RunError
from distill.core.machine.cores import default_threads
from distill.core.machine.device import Device, chosen_device, using_device
from distill.core.output.volume import restored_volume, volume
from student.search.lesson import Lesson

Work = Callable[..., Any]  # (lesson, *arguments); a function of a module, which another process can import

CANDIDATE_ERRORS = (RunError, BackboneError, InstallError, ExportError, DataError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Failed:
    """Why the work on one candidate failed; the others go on."""

    reason: str


def run_all(
    work: Work, lesson: Lesson, arguments: Mapping[str, tuple[Any, ...]], jobs: int
) -> Iterator[tuple[str, Any]]:
    """What `work` gives for the arguments of each candidate, by name, as each is done; or Failed. Raises RunError
    where a process dies, and whatever else the work raises."""
    if jobs == 1 or len(arguments) < 2:
        for name, own in arguments.items():
            yield name, _guarded(work, lesson, own)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang
    threads = max(1, default_threads() // jobs)
    pool = ProcessPoolExecutor(jobs, context, _begin, (lesson, chosen_device(), threads))
    try:
        futures = {pool.submit(_work, work, own): name for name, own in arguments.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RunError(
            f"one of the {jobs} processes of --jobs died, perhaps for want of memory; go on with --resume and fewer"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _guarded(work: Work, lesson: Lesson, own: tuple[Any, ...]) -> Any:
    """The work without its tables: those of one candidate among many say little."""
    with restored_volume():
        volume.tables = False
        try:
            return work(lesson, *own)
        except CANDIDATE_ERRORS as error:
            return Failed(" ".join(str(error).split()))


_lesson: Lesson
_device: Device


def _begin(lesson: Lesson, device: Device, threads: int) -> None:
    """In a process beside: what all its work needs, sent once. Only its warnings are printed."""
    global _lesson, _device
    _lesson, _device = lesson, device
    torch.set_num_threads(threads)
    volume.notes = False


def _work(work: Work, own: tuple[Any, ...]) -> Any:
    with using_device(_device):
        return _guarded(work, _lesson, own)
