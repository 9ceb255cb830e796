"""A Bundle's page in headless Chromium against the Predictor: docs/web.md and docs/web.png."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from chromium import Tab, browse, served
from PIL import Image

from distill.core.output.terminal import track
from distill.core.storage.files import write_bytes
from distill.data.dataset import Example, read_splits
from distill.runtime.predictor import Predictor
from distill.runtime.web.onnxruntime_web import PACKAGE, load_runtime
from distill.runtime.web.page import write_page
from distill.scoring.probabilities import to_probabilities
from experiments.results import (
    PATH,
    ROOT,
    conditions,
    data_option,
    named,
    notes,
    processor,
    read,
    table,
    timed,
    write,
)

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
TIMES = ("page_read_ms", "page_model_ms", "native_read_ms", "native_model_ms")
CAPTION = "They are lying to you again.\nOnly a fool would believe it!"
COLOURS = 200  # of the PNG, to keep it small


@click.command("web")
@data_option
@click.argument("bundles", nargs=-1, required=True, metavar="NAME=BUNDLE...")
@click.pass_obj
def measure(results: Path, data: Path, bundles: tuple[str, ...]) -> None:
    """Ask a page and the Predictor the same (web.json).

    Each is asked about the dev split: with its images as they are, and with the same four times as wide and as
    high, which Pillow decodes at a smaller scale and a browser does not. They take turns, so that noise hits both.
    """
    examples = [example for example in read_splits(data).dev if example.image]
    found = conditions(examples, runtime=PACKAGE, native_threads=1, batch=1)
    with tempfile.TemporaryDirectory() as work:
        compared = {name: ask_all(bundle, examples, Path(work) / name) for name, bundle in named(bundles).items()}
    version = next(iter(compared.values()))["golden"]["browser"].split("Chrome/")[-1].split()[0]
    found |= {"browser": f"headless Chromium {version}", "onnxruntime": found["packages"]["onnxruntime"]}
    write(results, "web", found, {"bundles": compared})


def ask_all(bundle: Path, examples: Sequence[Example], root: Path) -> dict[str, Any]:
    """One Bundle's page against its Predictor; `root` is what the page's server has."""
    write_page(bundle, root / "page", load_runtime(None))
    predictor = Predictor.load(bundle, threads=1)
    sets = {"as they are": examples, f"enlarged {ENLARGED} times": enlarged(examples, root / "large")}
    golden: dict[str, Any] = {}
    rows, images = [], root / "images"
    for what, headers in (*((what, {}) for what in sets), ("as they are", ISOLATED)):
        images.unlink(missing_ok=True)
        images.symlink_to(Path(str(sets[what][0].image)).parent.resolve())
        with served(root, headers) as url, tempfile.TemporaryDirectory() as profile, browse(Path(profile)) as tab:
            if not golden:
                tab.open(f"{url}/page/check.html")
                golden = json.loads(tab.until("document.getElementById('figures').textContent"))
                golden["cases"] = len(golden["cases"])
            tab.open(f"{url}/page/bundle/labels.txt")  # a page of this server without a model of its own
            tab.run("import('/page/client.js').then((parts) => { globalThis.client = new parts.Client() })")
            threads = tab.run("client.call('open').then((found) => found.threads)")
            rows.append(compare(tab, predictor, sets[what], what) | {"threads": threads})
    opened = predictor.bundle
    return {"precision": opened.precision, "target": opened.target, "golden": golden, "rows": rows}


def enlarged(examples: Sequence[Example], folder: Path) -> list[Example]:
    """The same images, larger, as JPEG files in `folder`."""
    folder.mkdir()
    larger = []
    for example in examples:
        assert isinstance(example.image, Path)
        place = folder / f"{example.image.stem}.jpg"
        with Image.open(example.image) as image:
            size = (image.width * ENLARGED, image.height * ENLARGED)
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(place, quality=90)
        larger.append(replace(example, image=place))
    return larger


def compare(tab: Tab, predictor: Predictor, examples: Sequence[Example], what: str) -> dict[str, Any]:
    """Both answers to every example, in turns; `logit_rms` is the root mean square of the logits' differences."""
    preprocessor, bundle = predictor.preprocessor, predictor.bundle
    here, there, tokens, pixels, times = [], [], [], [], []
    asked = [*examples[:WARM_UP], *examples]
    for example in track(asked, what, len(asked)):
        assert isinstance(example.image, Path)
        words = ASK.replace("NAME", json.dumps(f"/images/{example.image.name}"))
        found = tab.run(words.replace("TEXT", json.dumps(example.text)))
        batch, read_s = timed(
            lambda e: preprocessor.batch(preprocessor.rows([e.text], [preprocessor.image(e.image)])), example
        )
        logits, model_s = timed(predictor.model.run, batch)
        here.append(logits[0])
        there.append(found["logits"])
        tokens.append(found["ids"] != batch.input_ids[0].tolist())
        pixels.append(int(np.abs(batch.pixels.ravel().astype(int) - np.array(found["pixels"])).max()))
        times.append((found["imageMs"] + found["textMs"], found["modelMs"], 1e3 * read_s, 1e3 * model_s))
    own, page = (np.array(rows[WARM_UP:], dtype=np.float32) for rows in (here, there))
    before, after = (
        bundle.thresholds.apply(to_probabilities(logits, bundle.thresholds.groups)) for logits in (own, page)
    )
    return {
        "what": what,
        "cases": len(examples),
        "other_tokens": sum(tokens[WARM_UP:]),
        "other_pixels": sum(value > 0 for value in pixels[WARM_UP:]),
        "largest_pixel_difference": max(pixels),
        "logit_rms": float(np.sqrt(np.square(page - own).mean())),
        "largest_logit_difference": float(np.abs(page - own).max()),
        "tolerance": bundle.golden["tolerance"],
        "flipped": int((before != after).sum()),
        "decisions": int(before.size),
        **dict(zip(TIMES, np.median(np.array(times[WARM_UP:]), axis=0).round(1).tolist(), strict=True)),
    }


@click.command()
@click.argument("page", type=PATH)
@click.argument("image", type=PATH)
def screenshot(page: Path, image: Path) -> None:
    """Draw docs/web.png: PAGE, from `distill export --web`, explains its answer to IMAGE, which is nobody's."""
    with tempfile.TemporaryDirectory() as work, served(page) as url, browse(Path(work) / "profile") as tab:
        tab.look(1100)
        tab.open(f"{url}/index.html")
        tab.until("/^Ready/.test(document.getElementById('state').textContent)")
        tab.choose("#file", image.resolve())
        tab.until("!document.getElementById('stage').hidden && !document.getElementById('explain').disabled")
        typed = f"text.value = {json.dumps(CAPTION)}; text.dispatchEvent(new Event('input'))"
        tab.run(f"{typed}; explain.disabled = true")
        tab.until("!explain.disabled")
        tab.run("explain.click()")
        tab.until("document.getElementById('effects').children.length")
        tab.run("document.activeElement.blur()")
        shot, buffer = Path(work) / "shot.png", io.BytesIO()
        tab.screenshot(shot)
        Image.open(shot).convert("RGB").quantize(COLOURS).save(buffer, "PNG", optimize=True)
    write_bytes(ROOT / "docs" / "web.png", buffer.getvalue())


def answers() -> str:
    """The page in a browser against the Predictor."""

    def cells(row: dict[str, Any], pixels: str, largest: float) -> tuple[str, ...]:
        moved, flipped = f"{row['logit_rms']:.1e}, {largest:.1e}", f"{row['flipped']} of {row['decisions']}"
        return str(row["cases"]), str(row["other_tokens"]), pixels, moved, f"{row['tolerance']:.1e}", flipped

    tree, rows = read("web"), []
    for name, bundle in tree["bundles"].items():
        for row in bundle["rows"]:
            threads = "" if row["threads"] == 1 else f", {row['threads']} threads in the page"
            times = [f"{row[f'{who}_read_ms']:.0f}, {row[f'{who}_model_ms']:.0f}" for who in ("page", "native")]
            pixels = f"{row['other_pixels']} ({row['largest_pixel_difference']})"
            moved = cells(row, pixels, row["largest_logit_difference"])
            rows.append((f"{name}, memes {row['what']}{threads}", *moved, *times))
        golden = bundle["golden"]
        moved = cells(golden, str(golden["other_pixels"]), golden["largest"])
        rows.append((f"{name}, golden questions", *moved, "", ""))
    c = tree["conditions"]
    counts = "images | other tokens | other pixels (most) | logits differ by, at most | allowed | flipped"
    return table(f" | {counts} | page ms: read, model | Predictor ms: read, model", rows) + notes(
        f"{processor(c)}, {c['browser']}, {c['runtime']}; the Predictor on onnxruntime {c['onnxruntime']}, "
        f"{c['native_threads']} thread, batch {c['batch']}. Page and Predictor took turns.",
        "Medians, on a machine of two cores that did other work too: take the ratios, not the milliseconds.",
    )
