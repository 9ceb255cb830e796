"""Answering a source and writing it down as JSON lines. Knows answers and files, not what a model is made of."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from distill.data import Example
from distill.files import named, write_bytes
from distill.items import Fault, count_items, read_items
from distill.terminal import note, track
from export.part import Part, in_chunks, is_fault, origin
from export.runtime import Prediction, Predictor


def answer_one(predictor: Predictor, example: Example, out: Path | None) -> int:
    """One line, to `out` or standard output; the number of faults. Raises OutputError."""
    lines = _Lines(predictor.predict_many([example]))
    content = b"".join(lines)
    if out is None:
        _print([content])
    else:
        write_bytes(out, content)
    return lines.faults


def answer_all(predictor: Predictor, source: Path, out: Path | None, resume: bool) -> int:
    """A line for every item of `source`, in order, under a progress bar; the number of faults.

    With `out` a killed run leaves what it answered in OUT.part, and `resume` goes on there. Raises DataError, and
    OutputError when OUT.part holds answers and `resume` is not given, or answers to something else.
    """
    if out is None:
        lines = _Lines(_answers(predictor, source, 0))
        try:
            _print(lines)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("with --out FILE an interrupted run can go on") from None
        return lines.faults
    part = Part(out, origin(source, predictor.bundle))
    held = part.standing(resume)
    if held is None:
        return _finished(part)
    if held.answers:
        note(f"{part.lines}: {held.answers:,} answers are there already")
    lines = _Lines(_answers(predictor, source, held.answers), held.faults)
    try:
        part.write(lines, held)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_is_left(part)) from None
    return lines.faults


class _Lines:
    """Answers as lines of JSON, and how many of them were faults."""

    def __init__(self, answers: Iterable[Prediction | Fault], faults: int = 0) -> None:
        self.answers = answers
        self.faults = faults

    def __iter__(self) -> Iterator[bytes]:
        for answer in self.answers:
            self.faults += isinstance(answer, Fault)
            yield to_line(answer)


def _answers(predictor: Predictor, source: Path, skip: int) -> Iterator[Prediction | Fault]:
    """Those to the items behind the first `skip`."""
    total = count_items(source)
    items = itertools.islice(read_items(source), skip, None)
    return track(predictor.predict_many(items), "predicting", None if total is None else total - skip)


def to_line(answer: Prediction | Fault) -> bytes:
    """One answer as JSON, with its line's end."""
    # Half a surrogate pair has no UTF-8: one such id must not cost the answers to all the others.
    return (json.dumps(asdict(answer), ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _print(lines: Iterable[bytes]) -> None:
    sys.stdout.flush()
    with named(Path("standard output")):
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
