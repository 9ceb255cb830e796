"""Answering a source on many processes and machines with Ray Data. Knows Ray; blocks and files it only hands on.

The driver cuts the source, workers read their blocks and answer them, and the driver writes what comes back:
machines share the storage of the source and nothing else. The Bundle travels through Ray's object store.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distill import __version__
from distill.core.errors import ClusterError, DistillError
from distill.core.terminal import note, track
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import FILES, MANIFEST
from distill.runtime.partial_file import predictor_identity
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Predictor
from distill.runtime.ray.blocks import Block, cut, items_of
from distill.runtime.ray.pool import Pool, fitted, import_ray, one_line, session
from distill.runtime.ray.shards import Shards

IN_FLIGHT = 2  # blocks a worker has: the next is there when one is done
TRIES = 4  # at a block whose workers die; Ray itself would go on without an end when an image kills each of them


def answer_on_ray(folder: Path, source: Source, out: Path, resume: bool, pool: Pool) -> int:
    """A line for every item of `source`, in files in the folder `out`; the number of faults.

    Killed, it leaves whole files there, and `resume` adds the others. Raises DataError, BundleError, OutputError,
    and ClusterError when Ray is not installed or cannot be reached, or workers are lost again and again.
    """
    import_ray()
    bundle = Bundle.open(folder)
    blocks = cut(source)
    shards = Shards(out, source.path, blocks, predictor_identity(bundle))
    missing = shards.missing(resume)
    if blocks and not missing:
        note(f"{out}: all is answered already")
        return shards.finish()
    if len(missing) < len(blocks):
        note(f"{out}: {len(blocks) - len(missing):,} of {len(blocks):,} files of answers are there already")
    if not blocks:
        shards.begin()
    else:
        try:
            _answer(bundle, missing, shards, pool)
        except KeyboardInterrupt:
            done = f"{len(shards.standing()):,} of {len(blocks):,} files of answers are in {out}"
            raise KeyboardInterrupt(f"{done}; the same command with --resume goes on there") from None
    return shards.finish()


def _answer(bundle: Bundle, missing: Sequence[Block], shards: Shards, pool: Pool) -> None:
    by_number = {block.number: block for block in missing}
    with session(pool) as machines, one_line(f"what is answered stays in {shards.out}: go on with --resume"):
        shape = fitted(pool, machines)
        workers = min(shape.workers, len(missing))
        shards.begin()
        note(f"workers: {workers}, threads each: {shape.threads}")
        begun = time.perf_counter()
        for answer in track(_answers(bundle, missing, workers, shape.threads), "answering", len(missing)):
            if answer["error"]:
                raise ClusterError(answer["error"])
            shards.write(by_number[answer["number"]], answer["lines"])
        rows, seconds = sum(block.count for block in missing), time.perf_counter() - begun
        note(f"{shards.out}: {rows:,} rows in {seconds:,.0f} s, {rows / seconds:,.1f} a second")


def _answers(bundle: Bundle, blocks: Sequence[Block], workers: int, threads: int) -> Iterator[dict[str, Any]]:
    """What `Worker` gives for each block, in the order in which they are done."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    held = ray.put(_packed(bundle))  # this reference keeps it alive for workers that start again
    tries = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Tries).remote()
    answers = ray.data.from_items(
        [{"block": block} for block in blocks], override_num_blocks=len(blocks)
    ).map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=([held], tries, threads, __version__),
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=IN_FLIGHT),
        num_cpus=threads,
    )
    # Ahead of time nothing is fetched: an answer that is there is written at once.
    for batch in answers.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
        yield from batch.to_pylist()


class Tries:
    """How often each block was begun: more than once only where a worker died over it."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Count one more, and say how many there are now."""
        self.begun[number] += 1
        return self.begun[number]


class Worker:
    """One Predictor in a process of Ray's. What a user can mend comes back as an answer, and is not tried again.

    `held` is a reference to a Bundle's files, `tries` a handle on `Tries`.
    """

    def __init__(self, held: list[Any], tries: Any, threads: int, version: str) -> None:
        self.held, self.tries, self.threads, self.version = held, tries, threads, version
        self.predictor: Predictor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """The lines that answer one block."""
        (block,) = batch["block"]
        lines, error = b"", ""
        try:
            self._refuse_deadly(block)
            self.predictor = self.predictor or self._open()
            lines = b"".join(map(json_line, self.predictor.stream(items_of(block))))
        except (DistillError, OSError) as cause:
            error = str(cause)
        return {"number": [block.number], "lines": [lines], "error": [error]}

    def _refuse_deadly(self, block: Block) -> None:
        import ray

        if ray.get(self.tries.begin.remote(block.number)) > TRIES:
            raise ClusterError(
                f"rows {block.first + 1:,} to {block.first + block.count:,}: {TRIES} workers died over them; give "
                "workers more memory (fewer of them), or find the row that does it with --engine local"
            )

    def _open(self) -> Predictor:
        import ray

        if __version__ != self.version:
            raise ClusterError(f"{platform.node()}: has distill {__version__}, and {self.version} asks for answers")
        with tempfile.TemporaryDirectory(prefix="distill-") as folder:
            files = {Path(folder, name): content for name, content in ray.get(self.held[0]).items()}
            for path, content in files.items():
                path.write_bytes(content)
            return Predictor.load(Path(folder) if len(files) > 1 else next(iter(files)), self.threads)


def _packed(bundle: Bundle) -> dict[str, bytes]:
    """A Bundle's files by name."""
    if bundle.folder.is_file():
        return {bundle.folder.name: bundle.folder.read_bytes()}
    return {name: (bundle.folder / name).read_bytes() for name in (*FILES, MANIFEST)}
