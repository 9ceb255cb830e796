"""How much the command line prints: notes and tables, unless it is asked for less. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass
class Volume:
    """`notes` are the lines of progress on standard error, `tables` the results for people on standard output.
    `started_s`, a time of time.perf_counter, puts the seconds since then before each note."""

    notes: bool = True
    tables: bool = True
    started_s: float | None = None


volume = Volume()


@contextmanager
def restored_volume() -> Iterator[None]:
    """What a block changes of the volume ends with it."""
    before = asdict(volume)
    try:
        yield
    finally:
        vars(volume).update(before)
