"""What a student becomes: docs/results-export.md, from `distill bench`, `distill export` and `distill verify`.

bench.json is a report of `distill bench`, bundles/ holds the manifest.json of each Bundle, and verified/ what
`distill verify --out` wrote on each processor. Nothing is measured here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from bench.report import tables
from bench.report.columns import headline_metrics
from bench.report.kit.grid import Grid
from bench.report.kit.style import variables
from bench.report.page.devices import colours_of, devices_of
from bench.report.page.plots import against_latency
from bench.report.types import BenchReport
from bench.report.types import read as read_report
from distill.runtime.onnx.towers import TOWERS
from experiments.results import RESULTS, figure, notes, read, table
from export.quantize.coverage import TowerCoverage

MEMES, FILMS = "bench-student", "bench-films"
TWICE = "(memes6-fp32)"  # the Bundle that the int8 one was compared with anyway
BUNDLES = {
    "6 layers, int8": "six-bundle",
    "6 layers, 4 bits": "six-int4",
    "6 layers, 8000 words, int8": "six-words-bundle",
    "6 layers, 8000 words, 4 bits": "six-words-int4",
    "3 layers, int8": "three-bundle",
    "3 layers, 8000 words, int8": "words-bundle",
    "3 layers, 8000 words, 4 bits": "words-int4",
    "3 layers, MobileNetV3-large, int8": "v3large-bundle",
}
INT8 = {"6 layers": "six-bundle", "6 layers, fine-tuned in int8": "six-int8-bundle", "3 layers": "three-bundle"}
TRIED = "MB | dev micro-F1 lost | dev micro-AP lost | time / fp32"
PACKAGES = ("torch", "onnxruntime", "openvino", "nncf", "optimum")


@cache
def report(name: str = "bench") -> BenchReport:
    """The benchmark of all variants, by default."""
    read = read_report(RESULTS / f"{name}.json")
    return replace(read, rows=tuple(row for row in read.rows if TWICE not in row.name))


def headline(name: str) -> str:
    """The table that `distill bench` writes."""
    return tables.to_markdown(report(name))


def front() -> str:
    """F1 against latency: an SVG file in the reader's light or dark."""
    shown = devices_of([report(FILMS)])
    plot = against_latency(shown, colours_of(shown), "micro").svg("front")
    head, _, rest = str(plot).partition(">")
    style = f"{variables()} text{{font-family:sans-serif}}"
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


def times() -> str:
    """Every variant's time, start, memory and size, and its time over the shipped int8 file's."""
    own, versions = report().own.timings[0].p50.value, report().conditions.packages
    columns = [metric for metric in headline_metrics(report().rows) if metric.depends_on != "examples"]
    rows = [
        (row.name, *(f"{m.read(row):.{m.digits}f}" for m in columns), f"{row.timings[0].p50.value / own:.2f}")
        for row in report().rows
    ]
    conditions, noise = tables.footnotes(report())[0], tables.noise_sentence(report())
    used = ", ".join(f"{name} {versions[name]}" for name in PACKAGES)
    headings = " | ".join(("", *(metric.heading for metric in columns), "p50 / ours"))
    return table(headings, rows) + notes(conditions, f"{used}. {noise}")


def grid(name: str, of: str = "bench") -> str:
    """One of a benchmark's own tables, with its title."""
    made: Grid | None = getattr(tables, name)(report(of))
    if made is None:
        return "It is not in this report.\n"
    return f"**{made.title}**\n\n{made.to_markdown()}"


def measured_on(of: str) -> str:
    """The machine, the images and the noise of a benchmark."""
    return notes(tables.footnotes(report(of))[0], tables.noise_sentence(report(of)))


def figures(bundle: str) -> Any:
    """What a Bundle's manifest says of it."""
    return read(f"bundles/{bundle}")["figures"]


def precisions() -> str:
    """int8 and 4 bits of the same students."""
    return _shipped(BUNDLES)


def tried() -> str:
    """All that was tried for the first Bundle."""
    name, bundle = next(iter(BUNDLES.items()))
    return table(f"{name} | {TRIED}", map(_tried, figures(bundle)["tried"]))


def coverage() -> str:
    """Shares in few bits, by tower."""
    rows = []
    for name, bundle in BUNDLES.items():
        reached = (TowerCoverage(**figures(bundle)["coverage"][tower]) for tower in TOWERS)
        rows.append((name, *(f"{reach.macs:.1%}, {reach.weights:.1%}" for reach in reached)))
    return table(" | text: products, weights | image | head", rows)


def devices() -> str:
    """The Bundles' own answers, given again on other processors."""
    rows = []
    for path in sorted((RESULTS / "verified").glob("*.json")):
        row = read(f"verified/{path.stem}")
        here, flipped = row["here"], f"{row['flipped']} of {row['decisions']}"
        passed = "verified" if row["passed"] else "NOT verified"
        where = (row["bundle"], row["target"], here["target"], here["int8 instructions"])
        rows.append((*where, f"{row['logit_rms']:.1e}", f"{row['tolerance']:.1e}", flipped, passed))
    headings = "Bundle | made for | replayed on | int8 instructions | logits differ by | allowed | flipped | "
    return table(headings, rows, left=4)


def int8() -> str:
    """What shipped after plain training and after training in int8 arithmetic, and what that lost."""

    def on_dev(bundle: str) -> float:
        rows = (row for row in figures(bundle)["quality"] if row["what"].startswith("dev"))
        return float(next(rows)["micro_f1"]["value"])

    lines = []
    for name, bundle in INT8.items():
        effect = figures(bundle)["quantization_effect"]
        lines.append(
            f"{name}: {effect['flipped']} of {effect['decisions']} dev decisions flip with the fp32 thresholds, "
            f"{effect['flipped_refitted']} with the int8 file's own; dev micro-F1 {on_dev(f'{bundle}-fp32'):.3f} "
            f"in fp32, {on_dev(bundle):.3f} in int8."
        )
    return _shipped(INT8) + notes(*lines)


def _shipped(bundles: dict[str, str]) -> str:
    rows = ((name, *_tried(figures(bundle)["tried"][0])) for name, bundle in bundles.items())
    return table(f"student | what shipped | {TRIED}", rows, left=2)


def _tried(file: dict[str, Any]) -> tuple[str, ...]:
    """One quantised file: scheme, MB, losses, time."""
    lost = (figure(file["dev_micro_f1_drop"], "+.3f"), f"{file['dev_micro_ap_drop']:+.4f}")
    return file["scheme"], f"{file['size_bytes'] / 1e6:.1f}", *lost, f"{file['time_ratio']:.2f}"
