"""A whole benchmark: quality, then latency. Knows the order of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import latency, quality, report
from bench.variants import line_up
from distill.data import Splits
from distill.files import write_json, write_text
from distill.terminal import note


def run(
    bundle: Path, against: Sequence[Path], splits: Splits, split: str, threads: int, calls: int, out: Path
) -> report.BenchReport:
    """Measure the Bundle and everything beside it; write `out` (JSON) and the same table as Markdown."""
    variants = line_up(bundle, against)
    examples = splits.named(split)
    judged = []
    for variant in variants:
        note(f"quality of {variant.name} on {split}")
        judged.append(quality.judge(variant.folder, split, examples))
    constant = quality.constant_on(splits, split)
    note(f"timing {len(variants)} variants, {calls} calls each, {threads} thread(s)")
    timed = latency.measure(variants, examples, threads, calls)
    data = {"split": split, "examples": len(examples), "calls": calls}
    made = report.assemble(variants, timed, judged, constant, data, threads)
    write_json(out, made.to_json())
    write_text(out.with_suffix(".md"), report.to_markdown(made))
    return made
