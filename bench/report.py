"""The report: JSON is the truth, tables are made from it. Knows figures, measures nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.latency import Latency
from bench.quality import Judged
from bench.variants import Variant
from distill import __version__
from distill.errors import BenchError
from distill.files import read_json
from distill.metrics import Constant
from export.isa import cpu_name, detect

SCHEMA = 2
PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "onnxruntime",
    "openvino",
    "onnx",
    "optimum",
    "numpy",
    "tokenizers",
    "pillow",
)
NOISY = 0.15  # a spread of round medians above this is said aloud


@dataclass(frozen=True)
class BenchReport:
    """`rows` hold one variant each, `conditions` all that the figures depend on."""

    conditions: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    constant: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A plain table for `read`."""
        return {"schema": SCHEMA, **asdict(self)}


def assemble(
    variants: Sequence[Variant],
    latencies: Sequence[Latency],
    judged: Sequence[Judged],
    constant: Constant,
    data: dict[str, Any],
    threads: int,
) -> BenchReport:
    """Put the parts together. `data` names the split, its size and the data set."""
    rows = tuple(
        {
            "name": variant.name,
            "runtime": variant.runtime,
            "size_bytes": variant.size_bytes,
            "latency": asdict(latency),
            "quality": asdict(quality.honest),
            "quality_own_thresholds": asdict(quality.flattering) if quality.flattering else None,
            "quality_text_alone": asdict(quality.text_alone),
            "quality_picture_alone": asdict(quality.picture_alone),
            "thresholds": quality.thresholds,
        }
        for variant, latency, quality in zip(variants, latencies, judged, strict=True)
    )
    return BenchReport(conditions(threads) | data, rows, asdict(constant))


def conditions(threads: int) -> dict[str, Any]:
    """The machine and the software."""
    return {
        "cpu": cpu_name(),
        "int8_target": detect(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "batch": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "distill": __version__,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def read(path: Path) -> BenchReport:
    """A report from its JSON file. Raises BenchError for another schema."""
    tree = read_json(path, BenchError)
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
        raise BenchError(f"{path}: not a bench report of schema {SCHEMA}; run distill bench again")
    return BenchReport(tree["conditions"], tuple(tree["rows"]), tree["constant"])


HEADINGS = ("micro-F1 [95 %]", "macro-F1 [95 %]", "p50 ms", "p90 ms", "cold start s", "peak MB", "disk MB")


def cells(row: dict[str, Any]) -> list[str]:
    """One row's figures as text, in the order of HEADINGS."""
    q, latency = row["quality"], row["latency"]
    micro, macro = q["micro_f1_interval"], q["macro_f1_interval"]
    return [
        f"{q['micro_f1']:.3f} [{micro['low']:.2f}, {micro['high']:.2f}]",
        f"{q['macro_f1']:.3f} [{macro['low']:.2f}, {macro['high']:.2f}]",
        f"{latency['p50_ms']:.1f}",
        f"{latency['p90_ms']:.1f}",
        f"{latency['cold_start_ms'] / 1e3:.2f}",
        f"{latency['peak_rss_bytes'] / 1e6:.0f}",
        f"{row['size_bytes'] / 1e6:.1f}",
    ]


def footnotes(report: BenchReport) -> list[str]:
    """What a reader must know to use the figures."""
    c, constant = report.conditions, report.constant
    calls = len(report.rows[0]["latency"]["raw_ms"])
    thresholds: dict[str, list[str]] = {}
    for row in report.rows:
        thresholds.setdefault(row["thresholds"], []).append(row["name"])
    origins = "; ".join(
        how if len(thresholds) == 1 else f"{how} ({', '.join(names)})" for how, names in thresholds.items()
    )
    notes = [
        f"{c['cpu']}, {c['cores']} cores, {c['threads']} thread(s), batch 1, {calls} calls each in interleaved "
        "rounds of the same 20 examples, short to long; end to end from picture file and text to labels.",
        f"Quality on {c['split']} ({c['examples']} examples); thresholds {origins}; macro-F1 counts "
        "an empty label as 0; intervals are bootstrap over examples.",
        f"Micro-F1 of the text alone and of the picture alone: {_halves(report)}.",
        f"Always predicting {', '.join(constant['names'])} gives micro-F1 {constant['micro_f1']:.3f}, "
        f"macro-F1 {constant['macro_f1']:.3f}.",
    ]
    shaky = [row["name"] for row in report.rows if row["latency"]["round_spread"] > NOISY]
    if shaky:
        notes.append(
            f"NOISY: the medians of rounds moved by more than {NOISY:.0%} for {', '.join(shaky)}; "
            "measure again on a quiet machine before quoting times."
        )
    return notes


def _halves(report: BenchReport) -> str:
    parts = []
    for row in report.rows:
        text, picture = (row[f"quality_{half}_alone"]["micro_f1"] for half in ("text", "picture"))
        parts.append(f"{text:.3f} and {picture:.3f} ({row['name']})")
    return "; ".join(parts)


def to_table(report: BenchReport) -> Table:
    """For the terminal."""
    table = Table(
        title="Benchmark", title_justify="left", caption="\n".join(footnotes(report)), caption_justify="left"
    )
    table.add_column("", no_wrap=True)
    for name in HEADINGS:
        table.add_column(name, justify="right", no_wrap=name != "cold start s")
    for row in report.rows:
        table.add_row(row["name"], *cells(row))
    return table


def to_markdown(report: BenchReport) -> str:
    """For a README: the table and its conditions."""
    lines = ["| | " + " | ".join(HEADINGS) + " |", "|---" + "|---:" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join([row["name"], *cells(row)]) + " |" for row in report.rows]
    lines += ["", *(f"- {note}" for note in footnotes(report)), ""]
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
