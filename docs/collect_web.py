"""Ask a page in headless Chromium and the Predictor the same, and put the differences into docs/results/web.json.

    python docs/collect_web.py --data memes/ NAME=BUNDLE [NAME=BUNDLE ...]

Each is asked about the dev split: with its images as they are, and with the same four times as wide and as high,
which Pillow decodes at a smaller scale and a browser does not. Page and Predictor take turns, so that a load on the
machine hits both.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from PIL import Image

from distill.core.files import write_json
from distill.core.isa import cpu_name
from distill.core.terminal import track
from distill.data.dataset import Example, read_splits
from distill.runtime.onnx.session import run_session
from distill.runtime.predictor import Predictor
from distill.runtime.web.onnxruntime_web import PACKAGE, load_runtime
from distill.runtime.web.page import write_page
from distill.scoring.metrics import sigmoid

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from chromium import Tab, browse, served  # noqa: E402

OUT = ROOT / "docs" / "results" / "web.json"
ENLARGED = 4
WARM_UP = 5
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
ASK = """
(async () => {
  const blob = await (await fetch(NAME)).blob()
  const image = await client.call('image', { blob })
  const answer = await client.call('predict', { text: TEXT, pixels: image.pixels })
  return { pixels: [...image.pixels], imageMs: image.ms, ...answer, logits: [...answer.logits] }
})()
"""


def compare(tab: Tab, predictor: Predictor, examples: Sequence[Example], what: str) -> dict[str, Any]:
    """Both answers to every example, in turns."""
    thresholds, reader = predictor.bundle.thresholds, predictor.reader
    here, there, tokens, pixels, times = [], [], [], [], []
    asked = [*examples[:WARM_UP], *examples]
    for place, example in enumerate(track(asked, what, len(asked))):
        assert example.image is not None
        words = ASK.replace("NAME", json.dumps(f"/images/{example.image.name}"))
        found = tab.run(words.replace("TEXT", json.dumps(example.text)))
        start = time.perf_counter()
        own = reader.image(example.image)
        batch = reader.batch(reader.rows([example.text], [own]))
        middle = time.perf_counter()
        logits = run_session(predictor.session, batch)[0]
        end = time.perf_counter()
        if place < WARM_UP:
            continue
        here.append(logits)
        there.append(found["logits"])
        tokens.append(found["ids"] != batch.input_ids[0].tolist())
        pixels.append(int(np.abs(batch.pixels.ravel().astype(int) - np.array(found["pixels"])).max()))
        read_ms = found["imageMs"] + found["textMs"]
        times.append((read_ms, found["modelMs"], 1e3 * (middle - start), 1e3 * (end - middle)))
    difference = np.array(there, dtype=np.float32) - np.array(here)
    before, after = (thresholds.apply(sigmoid(np.array(rows, dtype=np.float32))) for rows in (here, there))
    names = ("page_read_ms", "page_model_ms", "native_read_ms", "native_model_ms")
    return {
        "what": what,
        "cases": len(examples),
        "other_tokens": sum(tokens),
        "other_pixels": sum(value > 0 for value in pixels),
        "largest_pixel_difference": max(pixels),
        "drift": float(np.sqrt(np.square(difference).mean())),
        "largest_logit_difference": float(np.abs(difference).max()),
        "tolerance": predictor.bundle.golden["tolerance"],
        "flipped": int((before != after).sum()),
        "decisions": int(before.size),
        **dict(zip(names, np.median(np.array(times), axis=0).round(1).tolist(), strict=True)),
    }


def enlarged(examples: Sequence[Example], folder: Path) -> list[Example]:
    """The same images, larger, as JPEG files in `folder`."""
    folder.mkdir()
    made = []
    for example in examples:
        assert example.image is not None
        with Image.open(example.image) as image:
            size = (image.width * ENLARGED, image.height * ENLARGED)
            large = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        place = folder / f"{example.image.stem}.jpg"
        large.save(place, quality=90)
        made.append(replace(example, image=place))
    return made


def golden(tab: Tab, url: str) -> dict[str, Any]:
    """What the page's own check says."""
    tab.open(f"{url}/page/check.html")
    found = dict(json.loads(tab.until("document.getElementById('figures').textContent")))
    del found["cases"]
    return found


def asked(name: str, bundle: Path, examples: Sequence[Example], work: Path) -> dict[str, Any]:
    """All about one Bundle."""
    root = work / name
    write_page(bundle, root / "page", load_runtime(None))
    predictor = Predictor.load(bundle, threads=1)
    large = enlarged(examples, root / "large")
    rows: list[dict[str, Any]] = []
    checked: dict[str, Any] = {}
    sets = [("as they are", examples, None), (f"enlarged {ENLARGED} times", large, None)]
    for what, chosen, headers in (*sets, ("as they are", examples, ISOLATED)):
        images = root / "images"
        images.unlink(missing_ok=True)
        assert chosen[0].image is not None
        images.symlink_to(chosen[0].image.parent.resolve())
        with served(root, headers) as url, tempfile.TemporaryDirectory() as profile, browse(Path(profile)) as tab:
            checked = checked or golden(tab, url)
            tab.open(f"{url}/page/bundle/labels.txt")  # a page of this server without a model of its own
            tab.run("import('/page/client.js').then((parts) => { globalThis.client = new parts.Client() })")
            threads = tab.run("client.call('open').then((found) => found.threads)")
            rows.append(compare(tab, predictor, chosen, what) | {"threads": threads})
    return {
        "precision": predictor.bundle.precision,
        "target": predictor.bundle.target,
        "golden": checked,
        "rows": rows,
    }


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.argument("bundles", nargs=-1, required=True)
def main(data: Path, bundles: tuple[str, ...]) -> None:
    """Ask all of them."""
    examples = [example for example in read_splits(data).dev if example.image is not None]
    with tempfile.TemporaryDirectory() as work:
        pairs = [pair.partition("=")[::2] for pair in bundles]
        found = {name: asked(name, Path(place), examples, Path(work)) for name, place in pairs}
    browser = next(iter(found.values()))["golden"]["browser"].split("Chrome/")[-1].split()[0]
    conditions = {
        "cpu": cpu_name(),
        "browser": f"headless Chromium {browser}",
        "runtime": PACKAGE,
        "onnxruntime": onnxruntime.__version__,
        "native_threads": 1,
        "batch": 1,
    }
    write_json(OUT, {"conditions": conditions, "bundles": found})


if __name__ == "__main__":
    main()
