"""A whole benchmark with peers, which are made first and removed at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.measure.interleave import Plan
from bench.peers.make import Peer, make
from bench.quality.eval_set import EvalSet
from bench.report.types import BenchReport
from bench.run import run
from bench.runtimes.variants import Variant, select_variants
from distill.data.dataset import Example


def run_with_peers(
    bundle: Path,
    against: Sequence[Path],
    peers: Sequence[Peer],
    train: Sequence[Example],
    eval_set: EvalSet,
    plan: Plan,
    openings: Sequence[Variant] = (),
) -> BenchReport:
    """`run` for a Bundle, what it is measured against, peers, which are made before anything is timed and removed
    at the end, and its own other `openings`; `train` is what peers calibrate on. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="distill-peers-") as folder:
        made = make(bundle, peers, Path(folder), against, train)
        return run(select_variants(bundle, against, [*made, *openings], baseline=plan.baseline), eval_set, plan)
