"""Predicts for a source on many processes and machines with Ray Data: `distill predict --engine ray`.

The driver splits the source into blocks, workers read their blocks and predict, and the driver writes what comes
back: machines share the storage of the source and nothing else. The Bundle travels through Ray's object store.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from distill import __version__
from distill.core.errors import ClusterError, DistillError
from distill.core.output.terminal import note, track, warn
from distill.data.sources import Source
from distill.preprocess.text import CutTexts
from distill.runtime.bundle import Bundle
from distill.runtime.opened import RunOptions, answer_cut
from distill.runtime.partial_file import clear_output, predictor_identity
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Predictor
from distill.runtime.ray.blocks import Block, read_block, split_into_blocks
from distill.runtime.ray.output_folder import OutputFolder
from distill.runtime.ray.session import RayOptions, check_ray_installed, plan_workers, ray_errors, ray_session

BLOCKS_PER_WORKER = 2  # in flight: the next block is there when one is done
MAX_ATTEMPTS = 4  # at a block whose workers die; Ray alone would try for ever when an image kills each of them


def predict_on_ray(
    folder: Path, source: Source, out: Path, resume: bool, options: RayOptions, overwrite: bool = False
) -> int:
    """Write a line for every item of `source` to files in the folder `out`, and return the number of failed rows.

    A killed run leaves whole files there, and `resume` adds the others; `overwrite` removes what is there. Raises
    DataError, BundleError, OutputError, and ClusterError when Ray is not installed or cannot be reached, or workers
    die again and again.
    """
    check_ray_installed()
    bundle = Bundle.open(folder)
    answer_cut(bundle, options.opening)  # that there is none is said before a worker starts
    source = source.remembering(bundle.columns)
    blocks = split_into_blocks(source)
    if overwrite and out.is_dir():
        clear_output(out)
    identity = predictor_identity(bundle, options.opening) | source.columns_identity()
    output = OutputFolder(out, source.path, blocks, identity)
    with output.locked():
        return _predict_missing(bundle, output, resume, options)


def _predict_missing(bundle: Bundle, output: OutputFolder, resume: bool, options: RayOptions) -> int:
    out, blocks, missing = output.out, output.blocks, output.missing(resume)
    if blocks and not missing:
        note(f"{out}: all rows are predicted already")
        return output.finish()
    if len(missing) < len(blocks):
        note(f"{out}: {len(blocks) - len(missing):,} of {len(blocks):,} files of predictions are there already")
    if not blocks:
        output.begin()
    else:
        try:
            _predict(bundle, missing, output, options)
        except KeyboardInterrupt:
            done = f"{len(output.files()):,} of {len(blocks):,} files of predictions are in {out}"
            raise KeyboardInterrupt(f"{done}; the same command with --resume goes on there") from None
    return output.finish()


class AttemptCounter:
    """A Ray actor that counts how often each block was begun: more than once only where a worker died over it."""

    def __init__(self) -> None:
        self.attempts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Count one more attempt at a block, and return how many there are now."""
        self.attempts[number] += 1
        return self.attempts[number]


class Worker:
    """One Predictor in a process of Ray's. Errors that a user can mend are returned, so that Ray retries none.

    `bundle_files` holds a reference to a Bundle's files in Ray's object store, in a list so that Ray leaves it a
    reference; `attempts` is a handle on an AttemptCounter, `version` the driver's version of distill.
    """

    def __init__(self, bundle_files: list[Any], attempts: Any, options: RunOptions, version: str) -> None:
        self.bundle_files, self.attempts, self.options, self.version = bundle_files, attempts, options, version
        self.predictor: Predictor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Predict for a batch of one block: its number, its lines, an error, "" where there is none, and how many
        texts were cut, as the fields of a CutTexts."""
        (block,) = batch["block"]
        lines, error, cut = b"", "", CutTexts()
        try:
            self._count_attempt(block)
            self.predictor = self.predictor or self._open()
            self.predictor.preprocessor.cut = CutTexts()
            lines = b"".join(map(json_line, self.predictor.stream(read_block(block))))
            cut = self.predictor.preprocessor.cut
        except (DistillError, OSError) as cause:
            error = str(cause)
        return {"number": [block.number], "lines": [lines], "error": [error], "cut": [list(astuple(cut))]}

    def _count_attempt(self, block: Block) -> None:
        """Raise ClusterError for a block over which too many workers died."""
        import ray

        if ray.get(self.attempts.begin.remote(block.number)) > MAX_ATTEMPTS:
            raise ClusterError(
                f"rows {block.first + 1:,} to {block.first + block.count:,}: {MAX_ATTEMPTS} workers died over "
                "them; give workers more memory (fewer of them), or find the row that does it with --engine local"
            )

    def _open(self) -> Predictor:
        import ray

        if __version__ != self.version:
            raise ClusterError(
                f"{platform.node()}: has distill {__version__}, and the driver has {self.version}; install the "
                "same version on all machines"
            )
        with tempfile.TemporaryDirectory(prefix="distill-") as folder:
            files = {Path(folder, name): content for name, content in ray.get(self.bundle_files[0]).items()}
            for path, content in files.items():
                path.write_bytes(content)
            place = Path(folder) if len(files) > 1 else next(iter(files))
            return Predictor.load(place, self.options.threads, self.options)


def _predict(bundle: Bundle, missing: Sequence[Block], output: OutputFolder, options: RayOptions) -> None:
    by_number = {block.number: block for block in missing}
    max_tokens = bundle.preprocess.text.max_tokens
    with (
        ray_session(options) as cores,
        ray_errors(f"finished files stay in {output.out}: go on with --resume"),
    ):
        plan = plan_workers(options, cores)
        workers = min(plan.workers, len(missing))
        output.begin()
        note(f"workers: {workers}, threads each: {plan.threads}")
        start, cut = time.perf_counter(), CutTexts()
        results = _results(bundle, missing, workers, replace(plan.opening, threads=plan.threads))
        for result in track(results, "predicting", len(missing)):
            if result["error"]:
                raise ClusterError(result["error"])
            output.write(by_number[result["number"]], result["lines"])
            cut += CutTexts(*result["cut"])
        rows, seconds = sum(block.count for block in missing), time.perf_counter() - start
        note(f"{output.out}: {rows:,} rows in {seconds:,.0f} s, {rows / seconds:,.1f} a second")
        if line := cut.describe(max_tokens):
            warn(f"{output.source}: {line}")


def _results(
    bundle: Bundle, blocks: Sequence[Block], workers: int, options: RunOptions
) -> Iterator[dict[str, Any]]:
    """What `Worker` returns for each block, in the order in which they finish."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    bundle_files = ray.put(_files_of(bundle))  # this reference keeps it alive for workers that start again
    attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(AttemptCounter).remote()
    results = ray.data.from_items(
        [{"block": block} for block in blocks], override_num_blocks=len(blocks)
    ).map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=([bundle_files], attempts, options, __version__),
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=BLOCKS_PER_WORKER),
        num_cpus=options.threads,
    )
    # Nothing is fetched ahead of time, so that each result is written as soon as it is there.
    for batch in results.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
        yield from batch.to_pylist()


def _files_of(bundle: Bundle) -> dict[str, bytes]:
    """The content of a Bundle's files by name."""
    return {path.name: path.read_bytes() for path in bundle.files}
