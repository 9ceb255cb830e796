"""Answers on their way to a file, so that a killed run can go on. Knows lines and bytes, no models.

  OUT.part        the answers so far, a chunk at a time
  OUT.part.json   what they answer and with which Bundle; written before the first of them
  OUT             all of them; the other two are gone

Quantised products depend on what shares a batch, so a run goes on at a whole chunk: it then gives the bytes that
an unbroken one gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from distill import __version__
from distill.core.errors import OutputError
from distill.core.files import named, read_json, refuse_what_is_no_file, sha256_of, write_json
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import MANIFEST
from distill.runtime.predictor import CHUNK_SIZE


@dataclass(frozen=True)
class Standing:
    """What a part holds in whole chunks: `answers`, `faults` among them, and where they end."""

    answers: int = 0
    faults: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Part:
    """The two files beside `out`, for answers to the source and by the Bundle that `origin` names."""

    out: Path
    origin: dict[str, Any]

    @property
    def lines(self) -> Path:
        """OUT.part."""
        return self.out.with_name(f"{self.out.name}.part")

    @property
    def about(self) -> Path:
        """OUT.part.json."""
        return self.out.with_name(f"{self.out.name}.part.json")

    def held(self) -> Standing:
        """What is there of OUT.part."""
        return _whole_chunks(self.lines)

    def standing(self, resume: bool) -> Standing | None:
        """Where to begin, or None when all is answered already. Raises OutputError rather than lose answers, or go
        on with those of something else."""
        refuse_what_is_no_file(self.out)
        held = self.held()
        if not held.answers and (self.lines.is_file() or not resume):
            return held  # nothing that took long
        if not resume:
            raise OutputError(
                f"{self.lines}: holds {held.answers:,} answers of an interrupted run; go on with --resume, or "
                "remove it to start over"
            )
        if not held.answers and not self.out.exists():  # killed before it began
            return held
        self._refuse_another(held)
        return held if held.answers else None

    def _refuse_another(self, held: Standing) -> None:
        if not self.about.is_file():
            if held.answers:
                raise OutputError(f"{self.lines}: nothing says what it answers; remove it to start over")
            raise OutputError(f"{self.out}: nothing to resume; leave --resume out to answer again")
        before = read_json(self.about, OutputError)
        for name, value in self.origin.items():
            if not isinstance(before, dict) or before.get(name) != value:
                raise OutputError(
                    f"{self.lines}: was begun with another {name}; resume with the same, or remove it to start over"
                )

    def write(self, lines: Iterable[bytes], held: Standing) -> None:
        """Add the lines behind what is held, chunk by chunk, and give the file its name. Raises OutputError."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with named(self.lines, then="go on with --resume"), self.lines.open("ab") as handle:
            claim(handle, self.lines)
            try:
                handle.truncate(held.size_bytes)
                write_json(self.about, self.origin)
                in_chunks(lines, handle, lambda: os.fsync(handle.fileno()))
            except BaseException:
                self._clear()
                raise
        self.lines.replace(self.out)
        self.about.unlink()

    def _clear(self) -> None:
        """Remove what a failed run left, unless it holds a chunk."""
        if not self.held().answers:
            self.lines.unlink(missing_ok=True)
            self.about.unlink(missing_ok=True)


def in_chunks(lines: Iterable[bytes], handle: BinaryIO, after: Callable[[], None]) -> None:
    """Write CHUNK_SIZE lines at once, so that what is cut off is less than a chunk; call `after` each."""
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_SIZE:
            handle.write(b"".join(chunk))
            handle.flush()
            after()
            chunk.clear()
    handle.write(b"".join(chunk))
    handle.flush()
    after()


def origin(source: Source, bundle: Bundle, reader: str | None) -> dict[str, Any]:
    """What answers depend on: the rows or images, what `answering` names, and what read the missing texts, where
    something did."""
    return {"source": source.digest(), "text reader": reader} | answering(bundle)


def answering(bundle: Bundle) -> dict[str, Any]:
    """What answers depend on but the rows: the Bundle's files, and how rows are put in batches."""
    shipped = bundle.folder if bundle.folder.is_file() else bundle.folder / MANIFEST
    return {"Bundle": sha256_of(shipped), "version": __version__, "chunk": CHUNK_SIZE}


def is_fault(line: bytes) -> bool:
    """Whether a line says why a row could not be read. Raises ValueError for what is no line of ours."""
    return "error" in dict(json.loads(line))


def _whole_chunks(lines: Path) -> Standing:
    answers = faults = size_bytes = 0
    held = Standing()
    if not lines.is_file():
        return held
    with lines.open("rb") as handle:
        for line in handle:
            try:
                fault = is_fault(line)
            except (ValueError, TypeError):  # cut off, or damaged when the machine lost its power
                break
            if not line.endswith(b"\n"):
                break
            answers, faults, size_bytes = answers + 1, faults + fault, size_bytes + len(line)
            if answers % CHUNK_SIZE == 0:
                held = Standing(answers, faults, size_bytes)
    return held


def claim(handle: BinaryIO, path: Path) -> None:
    """Raise OutputError when another process is writing the file; Windows does not say."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{path}: another process is writing it; wait for it, or give another --out") from error
