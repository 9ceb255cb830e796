"""One Predictor in a process of its own, timed on request: `python _cores_worker.py BUNDLE POSTS THREADS BATCH`.

It runs the distill that PYTHONPATH names, an earlier one too. POSTS is a JSON file of [text, image] pairs. For each
line of standard input, "many", "both", "text", "image", "interpreter" or "answers", it writes one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder, whose modules have the names of packages

import numpy as np

import distill


def many(predictor: distill.Predictor, posts: list[tuple[str, str]]) -> dict[str, float]:
    """Posts a second of one call for all posts, and milliseconds of processor time for each, of all threads."""
    begun, cpu = time.perf_counter(), time.process_time()
    predictor.predict_many(posts)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    return {"posts_per_s": len(posts) / seconds, "cpu_ms": 1e3 * cpu_s / len(posts)}


def interpreter(predictor: Any, posts: list[tuple[str, str]]) -> float:
    """Milliseconds of processor time for each post with a model and images that take none: what Python and the
    tokenizer take. One lock is held for nearly all of it, so that no number of cores gets through more."""
    size = predictor.preprocessor.spec.image.size
    image, logits = np.zeros((size, size, 3), np.uint8), np.zeros((1, len(predictor.labels)), np.float32)
    predictor.preprocessor.image = lambda *_: image
    predictor.model.run = lambda _: logits
    return many(predictor, posts)["cpu_ms"]


def alone(predictor: distill.Predictor, posts: list[tuple[str, str]], half: str) -> list[float]:
    """Milliseconds of each post by itself, of which one half or both are given."""
    times = []
    for text, image in posts:
        asked = {"text": text, "image": image} if half == "both" else {half: text if half == "text" else image}
        begun = time.perf_counter()
        predictor.predict(**asked)
        times.append(1e3 * (time.perf_counter() - begun))
    return times


def main(bundle: str, posts_file: str, threads: int, batch: int) -> None:
    """Open the Bundle, warm it up, and answer until standard input ends."""
    more: dict[str, Any] = {"batch": batch} if batch else {}  # an earlier version takes none
    predictor = distill.load(bundle, threads=threads, **more)
    posts = [(text, image) for text, image in json.loads(Path(posts_file).read_text(encoding="utf-8"))]
    for text, image in posts[:8]:
        predictor.predict(text, image)
    for line in sys.stdin:
        asked = line.strip()
        answer: Any
        if asked == "many":
            answer = many(predictor, posts)
        elif asked == "interpreter":
            answer = interpreter(predictor, posts)
        elif asked == "answers":
            found = predictor.predict_many(posts)
            answer = [(p.labels, p.probabilities) for p in found if isinstance(p, distill.Prediction)]
        else:
            answer = alone(predictor, posts, asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
