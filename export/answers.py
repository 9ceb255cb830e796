"""Writing predictions as JSON lines. Knows answers and files, no models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from distill.errors import DataError
from distill.items import Fault
from distill.terminal import track
from export.runtime import Prediction


def write_answers(answers: Iterator[Prediction | Fault], total: int | None, out: Path | None) -> int:
    """One line an answer, to `out` or standard output, under a progress bar; the number of faults.

    A file grows under the name OUT.part and gets its own name when all is answered.
    """
    faults = 0
    with _opened(out) as handle:
        for answer in track(answers, "predicting", total):
            faults += isinstance(answer, Fault)
            handle.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
    return faults


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as handle:
            yield handle
    except OSError as error:
        raise DataError(f"{part}: cannot be written: {error.strerror}; give another --out") from error
    part.replace(out)
