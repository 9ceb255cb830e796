"""A whole benchmark: quality, then latency. Knows the order of the steps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import latency, quality, report
from bench.peers import Peer, make
from bench.variants import line_up
from distill.data import Splits
from distill.files import write_json, write_text
from distill.terminal import note


def run(
    bundle: Path,
    against: Sequence[Path],
    splits: Splits,
    split: str,
    threads: int,
    calls: int,
    out: Path,
    peers: Sequence[Peer] = (),
) -> report.BenchReport:
    """Measure the Bundle and everything beside it; write `out` (JSON) and the same table as Markdown.

    What peers need is made before anything is timed, and removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="distill-peers-") as folder:
        variants = line_up(bundle, against, make(bundle, peers, Path(folder)))
        examples = splits.named(split)
        judged = []
        for variant in variants:
            note(f"quality of {variant.name} on {split}")
            judged.append(quality.judge(variant.folder, split, examples, variant.runtime))
        constant = quality.constant_on(splits, split)
        note(f"timing {len(variants)} variants, {calls} calls each, {threads} thread(s)")
        timed = latency.measure(variants, examples, threads, calls)
    data = {"split": split, "examples": len(examples), "calls": calls}
    made = report.assemble(variants, timed, judged, constant, data, threads)
    write_json(out, made.to_json())
    write_text(out.with_suffix(".md"), report.to_markdown(made))
    return made
