"""A fresh process that opens a Bundle: `python _start_worker.py STARTED BUNDLE POSTS THREADS [ROWS]`.

It runs the distill that PYTHONPATH names, an earlier one too, and writes one line of JSON. Without ROWS it predicts
for the first of POSTS, a JSON file of [text, image] pairs, and says how long that took since STARTED, which is a
time.time(); with ROWS, a file of rows, it is `distill predict` and says how much memory it had at most.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.pop(0)  # this folder, whose modules have the names of packages


def memory_mb(name: str) -> float:
    """A line of what Linux says of this process: VmRSS, what it holds; VmHWM, the most that it ever held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def start(started: float, bundle: str, posts: str, threads: int) -> dict[str, float]:
    """Milliseconds until distill is imported, the Bundle open and the first post answered."""
    import distill

    load = distill.load  # imports what it needs
    imported = time.time()
    predictor = load(bundle, threads=threads)
    opened, held_mb = time.time(), memory_mb("VmRSS")
    text, image = json.loads(Path(posts).read_text(encoding="utf-8"))[0]
    predictor.predict(text, image)
    moments = {"import_ms": imported, "open_ms": opened, "answer_ms": time.time()}
    return {
        **{name: 1e3 * (moment - started) for name, moment in moments.items()},
        "cpu_ms": 1e3 * time.process_time(),
        "open_mb": held_mb,
    }


def predict(bundle: str, rows: str, threads: int) -> dict[str, float]:
    """Megabytes of memory, at most."""
    out = str(Path(rows).with_suffix(".out.jsonl"))
    sys.argv = ["distill", "predict", bundle, rows, "--out", out, "--overwrite", "--threads", str(threads)]
    from distill.cli.main import run

    with suppress(SystemExit):
        run()
    return {"most_mb": memory_mb("VmHWM"), "rows": len(Path(out).read_text(encoding="utf-8").splitlines())}


if __name__ == "__main__":
    threads = int(sys.argv[4])
    if len(sys.argv) == 5:
        answer = start(float(sys.argv[1]), sys.argv[2], sys.argv[3], threads)
    else:
        answer = predict(sys.argv[2], sys.argv[5], threads)
    sys.stdout.write(json.dumps(answer) + "\n")
