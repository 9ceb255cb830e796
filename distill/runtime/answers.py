"""Answering a source and writing it down as JSON lines. Knows answers and files, not what a model is made of."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from distill.core.files import explain_write_errors
from distill.core.terminal import note, track
from distill.data.sources import Fault, Item, Source
from distill.runtime.answer_file import Part, Standing, in_chunks, is_fault, origin
from distill.runtime.ocr.cache import Readings, Reads, beside
from distill.runtime.ocr.captions import Captions
from distill.runtime.predictor import Prediction, Predictor


def answer_all(
    predictor: Predictor, source: Source, out: Path | None, resume: bool, reader: Reads | None = None
) -> int:
    """A line for every item of `source`, in order, under a progress bar; the number of faults.

    With `out` a killed run leaves what it answered in OUT.part, and `resume` goes on there. A `reader` reads the
    missing texts off their images. Raises DataError, and OutputError when OUT.part holds answers and `resume` is
    not given, or answers to something else.
    """
    if out is None:
        lines = _Lines(predictor, _items(source, 0), reader)
        try:
            _print(lines)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("with --out FILE an interrupted run can go on") from None
        return lines.faults
    part = Part(out, origin(source, predictor.bundle, None if reader is None else reader.name))
    held = part.standing(resume)
    if held is None:
        return _finished(part)
    if held.answers:
        note(f"{part.lines}: {held.answers:,} answers are there already")
    try:
        return _write(predictor, source, part, held, reader)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_is_left(part)) from None


def _write(predictor: Predictor, source: Source, part: Part, held: Standing, reader: Reads | None) -> int:
    """The answers behind those that are held; the number of faults among them all."""
    with nullcontext() if reader is None else Readings(beside(part.out), reader) as readings:
        lines = _Lines(predictor, _items(source, held.answers), readings, held.faults)
        part.write(lines, held)
        if readings is not None:
            readings.done()
    return lines.faults


class _Lines:
    """Answers as lines of JSON, and how many of them were faults."""

    def __init__(self, predictor: Predictor, items: Iterable[Item], reader: Reads | None, faults: int = 0) -> None:
        self.predictor = predictor
        self.items = items
        self.captions = None if reader is None else Captions(reader.read)
        self.faults = faults

    def __iter__(self) -> Iterator[bytes]:
        items = self.items if self.captions is None else self.captions.fill(self.items)
        for answer in self.predictor.stream(items):
            self.faults += isinstance(answer, Fault)
            yield as_line(answer, self.captions.next() if self.captions else None)


def _items(source: Source, skip: int) -> Iterator[Item]:
    """Those behind the first `skip`, under a progress bar."""
    total = source.count()
    items = itertools.islice(source.items(), skip, None)
    return track(items, "predicting", None if total is None else total - skip)


def as_line(answer: Prediction | Fault, read: str | None = None) -> bytes:
    """One answer, as it stands in a file, and the text that was `read` off its image."""
    table = asdict(answer) | ({} if read is None else {"ocr_text": read})
    # Half a surrogate pair has no UTF-8: one such id must not cost the answers to all the others.
    return (json.dumps(table, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _print(lines: Iterable[bytes]) -> None:
    sys.stdout.flush()
    with explain_write_errors(Path("standard output")):
        in_chunks(lines, sys.stdout.buffer, lambda: None)


def _finished(part: Part) -> int:
    note(f"{part.out}: all is answered already")
    part.about.unlink()
    with part.out.open("rb") as handle:
        return sum(map(is_fault, handle))


def _what_is_left(part: Part) -> str:
    held = part.held()
    if not held.answers:
        return "it had not come far: give the same command again"
    return f"{held.answers:,} answers are in {part.lines}; the same command with --resume goes on there"
