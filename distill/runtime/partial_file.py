"""Writes predictions to a file in chunks, so that a killed run can be resumed with the same bytes.

  OUT.part        the lines so far, a chunk at a time
  OUT.part.json   which source they are for and which Bundle made them; written before the first of them
  OUT             all lines; the other two are removed
  .OUT.lock       held from before OUT.part is read until after it is renamed

With --batch, answers depend on what shares a batch, so a run resumes at a whole chunk: it then writes the same
bytes as an uninterrupted run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from distill import __version__
from distill.core.errors import OutputError
from distill.core.storage.files import (
    explain_write_errors,
    read_json,
    refuse_existing,
    refuse_non_file,
    remove_folder,
    sha256_of,
    write_json,
)
from distill.core.storage.lock import lock_beside, sole_writer
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import MANIFEST
from distill.runtime.opened import RunOptions, chosen_runtime
from distill.runtime.pipeline import CHUNK_SIZE
from distill.runtime.predictor import DEFAULTS


@dataclass(frozen=True)
class Progress:
    """How far a partial file goes, in whole chunks: its lines, the failed rows among them, and their size."""

    lines: int = 0
    failed_rows: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class PartialFile:
    """The unfinished file beside `out`; `identity` says what its lines depend on, as `run_identity` does. `finish`
    makes OUT of all lines, where it is not the file of them itself."""

    out: Path
    identity: dict[str, Any]
    finish: Callable[[Path], None] | None = None

    @property
    def path(self) -> Path:
        """OUT.part."""
        return self.out.with_name(f"{self.out.name}.part")

    @property
    def identity_path(self) -> Path:
        """OUT.part.json."""
        return self.out.with_name(f"{self.out.name}.part.json")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out. Raises OutputError when one is writing the file."""
        refuse_non_file(self.out)
        with sole_writer(self.out, lock_beside(self.out), OutputError):
            yield

    def progress(self) -> Progress:
        """How far OUT.part goes; nothing where it does not exist."""
        return _whole_chunks(self.path)

    def resume_point(self, resume: bool) -> Progress | None:
        """Where to start while it is `locked`, or None when OUT is complete. Raises OutputError rather than lose
        predictions, or mix them with those of another source or Bundle."""
        progress = self.progress()
        if not progress.lines and (self.path.is_file() or not resume):
            return progress  # nothing that took long
        if not resume:
            raise OutputError(
                f"{self.path}: holds {progress.lines:,} predictions of an interrupted run; go on with --resume, "
                "or pass --overwrite to start over"
            )
        if not progress.lines and not self.out.exists():  # killed before it began
            return progress
        self._check_identity(progress)
        return progress if progress.lines else None

    def write(self, lines: Iterable[bytes], start: Progress) -> None:
        """Append the lines that follow `start`, chunk by chunk, and rename the file to OUT or make OUT of it.
        Raises OutputError."""
        with explain_write_errors(self.path, then="go on with --resume"), self.path.open("ab") as handle:
            try:
                handle.truncate(start.size_bytes)
                write_json(self.identity_path, self.identity)
                write_chunks(lines, handle, lambda: os.fsync(handle.fileno()))
            except BaseException:
                self._clear()
                raise
        if self.finish is None:
            self.path.replace(self.out)
        else:
            self.finish(self.path)
            self.path.unlink()
        self.identity_path.unlink()

    def _check_identity(self, progress: Progress) -> None:
        if not self.identity_path.is_file():
            if progress.lines:
                raise OutputError(
                    f"{self.path}: no {self.identity_path.name} says what it is for; remove it to start over"
                )
            raise OutputError(f"{self.out}: nothing to resume; leave --resume out to predict again")
        before = read_json(self.identity_path, OutputError)
        for name, value in self.identity.items():
            if not isinstance(before, dict) or before.get(name) != value:
                raise OutputError(
                    f"{self.path}: was begun with another {name}; resume with the same, or remove it to start over"
                )

    def _clear(self) -> None:
        """Remove what a failed run left, unless it holds a chunk."""
        if not self.progress().lines:
            self.path.unlink(missing_ok=True)
            self.identity_path.unlink(missing_ok=True)


def refuse_output(out: Path, overwrite: bool, is_folder: bool = False) -> None:
    """Raise OutputError for what may not be overwritten by new predictions at `out`, a file, or a folder of
    `--engine ray`; an unfinished file is told of later, by `resume_point`."""
    if is_folder:
        refuse_existing(out, overwrite, _holds_predictions, "a folder of predictions")
    else:
        refuse_existing(out, overwrite)


def clear_output(out: Path) -> None:
    """Make room for new predictions where they are to overwrite others, once the Bundle is known to open. A
    finished file stays until the new one takes its place."""
    if out.is_dir():
        remove_folder(out)
        return
    part = PartialFile(out, {})
    with part.locked():
        part.path.unlink(missing_ok=True)
        part.identity_path.unlink(missing_ok=True)


def _holds_predictions(folder: Path) -> bool:
    """Whether nothing is in the folder but what --engine ray writes."""
    names = (path.name for path in folder.iterdir() if not path.name.startswith("."))
    return all(name == MANIFEST or name.startswith("predictions-") for name in names)


def write_chunks(lines: Iterable[bytes], handle: BinaryIO, after_chunk: Callable[[], None]) -> None:
    """Write CHUNK_SIZE lines at a time, so that less than a chunk is ever cut off."""
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_SIZE:
            handle.write(b"".join(chunk))
            handle.flush()
            after_chunk()
            chunk.clear()
    handle.write(b"".join(chunk))
    handle.flush()
    after_chunk()


def run_identity(
    source: Source, bundle: Bundle, ocr_name: str | None, options: RunOptions = DEFAULTS
) -> dict[str, Any]:
    """What a run's predictions depend on: the source's content, the name of the program that reads missing texts
    off images, and `predictor_identity`."""
    return {"source": source.digest(), "text reader": ocr_name} | predictor_identity(bundle, options)


def predictor_identity(bundle: Bundle, options: RunOptions) -> dict[str, Any]:
    """What predictions depend on beside the rows: the Bundle's files, what runs them, and how rows are batched."""
    shipped = bundle.folder if bundle.folder.is_file() else bundle.folder / MANIFEST
    return {"Bundle": sha256_of(shipped), "version": __version__, "batch": options.batch_size} | {
        "runtime": chosen_runtime(bundle, options),
        "provider": options.provider,
        **({"raw": True} if options.raw else {}),
        **({} if options.abstain is None else {"abstain": options.abstain}),
    }


def is_failed_row(line: bytes) -> bool:
    """Whether a line says why a row could not be read. Raises ValueError for a line that is no JSON object."""
    return "error" in dict(json.loads(line))


def _whole_chunks(path: Path) -> Progress:
    lines = failed_rows = size_bytes = 0
    whole = Progress()
    if not path.is_file():
        return whole
    with path.open("rb") as handle:
        for line in handle:
            try:
                failed = is_failed_row(line)
            except (ValueError, TypeError):  # cut off, or damaged when the machine lost its power
                break
            if not line.endswith(b"\n"):
                break
            lines, failed_rows, size_bytes = lines + 1, failed_rows + failed, size_bytes + len(line)
            if lines % CHUNK_SIZE == 0:
                whole = Progress(lines, failed_rows, size_bytes)
    return whole
