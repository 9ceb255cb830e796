"""One variant in a process of its own, timed on request. Knows one predictor; a Bundle's needs no torch.

Run as `python -m bench.worker FOLDER RUNTIME THREADS ROWS STARTED`. It answers on standard output, one JSON line
each: first its cold start, then for every line "N" on standard input N timed calls, and for "memory" its
peak. A call goes from the picture's file and the text to the decided labels.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[str, Path | None], Any]


def peak_rss_bytes() -> int:
    """The largest resident set of this process so far."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def open_call(folder: Path, runtime: str, threads: int) -> Call:
    """The variant's predict function; `runtime` as in `bench.variants`."""
    if runtime == "torch":
        from bench.torch_predictor import TorchPredictor

        return TorchPredictor(folder, threads).predict
    if runtime == "OpenVINO":
        from bench.peers import OpenVinoPredictor

        return OpenVinoPredictor(folder, threads).predict
    from export.runtime import Predictor

    return Predictor.load(folder, threads).predict


def serve(call: Call, rows: list[tuple[str, Path | None]], started: float, opened: float) -> None:
    """Answer the parent's lines until it closes the pipe."""
    call(*rows[0])
    now = time.time()
    _say(
        {
            "cold_start_ms": 1e3 * (now - started),
            "load_ms": 1e3 * (opened - started),
            "torch": "torch" in sys.modules,
        }
    )
    position = 0
    for line in sys.stdin:
        if line.strip() == "memory":
            _say({"peak_rss_bytes": peak_rss_bytes()})
            continue
        times = []
        for _ in range(int(line)):
            text, image = rows[position % len(rows)]
            position += 1
            start = time.perf_counter()
            call(text, image)
            times.append(1e3 * (time.perf_counter() - start))
        _say({"latency_ms": times})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    folder, runtime, threads, rows_file, started = sys.argv[1:]
    call = open_call(Path(folder), runtime, int(threads))
    opened = time.time()
    content = json.loads(Path(rows_file).read_text(encoding="utf-8"))
    rows = [(text, Path(image) if image else None) for text, image in content]
    serve(call, rows, float(started), opened)
