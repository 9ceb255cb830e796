"""One variant in a process of its own, timed on request; a Bundle's process holds no torch.

Run as `python -m bench.measure.worker SPEC STARTED`: SPEC is a JSON file of `Spec`, STARTED the time of the start.
It answers on standard output, one JSON line each: first its cold start (`Start`), then every request on standard
input: ["calls", B] for one round of timed calls of B examples, ["stages"], or ["memory"] (`Held`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.runtimes.variants import Runtime
    from distill.runtime.bundle import Kind

from bench.measure.memory import peak_bytes, resident
from bench.report.types import Resident

Rows = Sequence[tuple[str, Path | None]]
Answer = Callable[[Sequence[str], Sequence[Path | None]], Any]


@dataclass(frozen=True)
class Spec:
    """What a process is to be: a variant's fields, and the rows of a round."""

    name: str
    kind: Kind
    runtime: Runtime
    folder: str
    model: str | None
    threads: int
    arena: bool
    rows: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Start:
    """A process's way to its first answer, and its memory with the imports alone and with the open model."""

    total_ms: float
    import_ms: float
    open_ms: float
    first_call_ms: float
    imported: Resident
    load_peak_bytes: int
    torch: bool


@dataclass(frozen=True)
class Held:
    """The memory of a process now, and the most that it ever had."""

    steady: Resident
    peak_bytes: int


def batches(rows: Rows, size: int) -> list[Rows]:
    """A round: all rows, `size` at a time; the last batch is filled up from the first rows."""
    count = -(-len(rows) // size)
    return [[rows[(start * size + i) % len(rows)] for i in range(size)] for start in range(count)]


def timed_round(answer: Answer, rows: Rows, size: int) -> list[float]:
    """Milliseconds of each call of a round."""
    times = []
    for batch in batches(rows, size):
        texts, images = [text for text, _ in batch], [image for _, image in batch]
        start = time.perf_counter()
        answer(texts, images)
        times.append(round(1e3 * (time.perf_counter() - start), 4))
    return times


def serve(
    answer: Answer, rows: Rows, begun: dict[str, Any], stages: Callable[[], dict[str, Any]], started: float
) -> None:
    """Make the first call, write what the start took, and answer the parent's lines until it closes the pipe.

    `begun` holds the fields of `Start` that came before the first call."""
    opened = time.time()
    answer([rows[0][0]], [rows[0][1]])
    now = time.time()
    _reply(begun | {"first_call_ms": 1e3 * (now - opened), "total_ms": 1e3 * (now - started)})
    for line in sys.stdin:
        request = json.loads(line)
        if request[0] == "calls":
            _reply({"ms": timed_round(answer, rows, request[1])})
        elif request[0] == "stages":
            _reply(stages())
        else:
            _reply(asdict(Held(resident(), peak_bytes())))


def _reply(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(spec: Spec, started: float) -> None:
    """Import, then open, then serve; each is timed, and so is the memory that imports alone take."""
    from bench.measure.stages import stage_times
    from bench.runtimes.open_model import answer, opener
    from bench.runtimes.variants import Variant

    path = Path(spec.model) if spec.model else None
    variant = Variant(spec.name, spec.kind, spec.runtime, Path(spec.folder), 0, path)
    open_ = opener(variant.runtime)
    imported, before = time.time(), resident()
    model = open_(variant, spec.threads, spec.arena)
    begun = {
        "import_ms": 1e3 * (imported - started),
        "open_ms": 1e3 * (time.time() - imported),
        "imported": asdict(before),
        "load_peak_bytes": peak_bytes(),
        "torch": "torch" in sys.modules,
    }
    rows = [(text, Path(image) if image else None) for text, image in spec.rows]
    serve(
        lambda texts, images: answer(model, texts, images),
        rows,
        begun,
        lambda: asdict(stage_times(model, rows)),
        started,
    )


if __name__ == "__main__":
    main(Spec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), float(sys.argv[2]))
