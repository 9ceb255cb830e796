"""One variant in a process of its own, timed on request; a Bundle's process holds no torch.

Run as `python -m bench.measure.worker SPEC STARTED`: SPEC is a JSON file of `Spec`, STARTED the time of the start.
It answers on standard output, one JSON line each: first its cold start (`Start`), then every request on standard
input: ["calls", B] for one round of timed calls of B examples, ["model", B] for the same calls with all decoded
beforehand, ["many", B, N] for N examples in the runtime's own way (`Lap`), ["stages"], or ["memory"] (`Held`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.runtimes.many import Many
    from bench.runtimes.open_model import OpenModel
    from bench.runtimes.variants import Runtime
    from distill.runtime.bundle import Kind

from bench.measure.memory import peak_bytes, resident
from bench.report.measured import Resident

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


@dataclass(frozen=True)
class Lap:
    """The way in which examples were answered, in words, and the seconds that it took."""

    how: str
    seconds: float


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


def timed_lap(many: Many, rows: Rows, size: int, posts: int) -> Lap:
    """So many examples, the rows again and again, all asked for at once."""
    from distill.data.dataset import Example

    examples = [Example(str(i), *rows[i % len(rows)], ()) for i in range(posts)]
    start = time.perf_counter()
    many.answer(examples, size)
    return Lap(many.how, time.perf_counter() - start)


def serve(
    first: Callable[[], Any], requests: Mapping[str, Callable[..., Any]], begun: dict[str, Any], started: float
) -> None:
    """Make the first call, write what the start took, and answer the parent's lines until it closes the pipe.

    `begun` holds the fields of `Start` that came before the first call. `requests` are functions that return what
    JSON can hold, by the names of requests."""
    opened = time.time()
    first()
    now = time.time()
    _reply(begun | {"first_call_ms": 1e3 * (now - opened), "total_ms": 1e3 * (now - started)})
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        _reply(requests[name](*arguments))


def held() -> dict[str, Any]:
    """What a request for `Held` is answered with."""
    return asdict(Held(resident(), peak_bytes()))


def _reply(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(spec: Spec, started: float) -> None:
    """Import, then open, then serve; each is timed, and so is the memory that imports alone take."""
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
    serve(lambda: answer(model, [rows[0][0]], [rows[0][1]]), requests(model, rows, spec.threads), begun, started)


def requests(model: OpenModel, rows: Rows, threads: int) -> dict[str, Callable[..., Any]]:
    """What an open model can be asked for, by the names of requests."""
    from bench.runtimes.open_model import answer, decoded_beforehand

    def calls(size: int) -> list[float]:
        return timed_round(partial(answer, model), rows, size)

    def alone(size: int) -> list[float]:
        with decoded_beforehand(model, rows):
            return calls(size)

    def stages() -> dict[str, Any]:
        from bench.measure.stages import stage_times

        return asdict(stage_times(model, rows))

    many = cache(lambda: model.many(threads))
    return {
        "calls": calls,
        "model": alone,
        "many": lambda size, posts: asdict(timed_lap(many(), rows, size, posts)),
        "stages": stages,
        "memory": held,
    }


if __name__ == "__main__":
    main(Spec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), float(sys.argv[2]))
