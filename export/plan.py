"""An export rehearsed for --dry-run: a real one of a few rows, and what it says about the whole."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.output import terminal
from distill.core.settings.recipe import ExportConfig
from distill.data.dataset import Splits
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import refuse_existing_bundle
from export.pipeline import TRANSFER_EXAMPLES, ExportRequest, export_run
from export.quantize.calibration import RANGE_METHODS

ROWS = 8
PASSES = 3  # over dev for each Bundle: whole, and without either half


@dataclass(frozen=True)
class ExportPlan:
    """What an export would do. `candidates` are the files that the search tries at least; `bundle_bytes` are those
    of all Bundles together, `peak_bytes` of the most that it takes while it works."""

    train: int
    dev: int
    labels: int
    bundles: tuple[str, ...]
    candidates: int
    rehearsed: int
    seconds: float
    bundle_bytes: int
    peak_bytes: int
    free_bytes: int


def plan_export(student: Checkpoint, splits: Splits, config: ExportConfig, request: ExportRequest) -> ExportPlan:
    """Export a few rows in a temporary folder, and extend the times to the whole. Raises as `export_run` does."""
    outs = tuple(dict.fromkeys((request.fp32_out, request.out)))
    for out in outs:
        refuse_existing_bundle(out, request.overwrite)
    dev = sorted(splits.dev, key=lambda example: not example.labels)[:ROWS]
    part = replace(splits, train=splits.train[:ROWS], dev=dev)
    lenient = replace(config, matmuls="dynamic", convolutions="float", allow_slower=True, max_f1_drop=1.0)
    lenient = replace(lenient, min_int8_share=1e-9)
    count = 0 if request.precision == "fp32" else _candidates(config, request, bool(student.ranges))
    terminal.note(f"rehearsing the export with {ROWS} rows")
    with tempfile.TemporaryDirectory(prefix="distill-dry-run-") as folder, terminal.silence():
        place = Path(folder)
        bundles, fp32_s = _export(student, part, lenient, replace(request, precision="fp32", out=place / "a"))
        candidate_s = 0.0
        if count:
            bundles, quantised_s = _export(student, part, lenient, replace(request, out=place / "b"))
            candidate_s = max(quantised_s - fp32_s, 0)
        started = time.perf_counter()
        student.logits(dev)
        row_s = (time.perf_counter() - started) / len(dev)
    passes = len(splits.dev) * (PASSES * len(outs) + count) + min(len(splits.train), TRANSFER_EXAMPLES)
    return ExportPlan(
        train=len(splits.train),
        dev=len(splits.dev),
        labels=len(splits.labels),
        bundles=tuple(map(str, outs)),
        candidates=count,
        rehearsed=ROWS,
        seconds=fp32_s + count * candidate_s + passes * row_s,
        bundle_bytes=sum(bundles),
        peak_bytes=sum(bundles) * 2 + bundles[0] + count * bundles[-1],
        free_bytes=shutil.disk_usage(next(path for path in outs[0].absolute().parents if path.is_dir())).free,
    )


def _export(
    student: Checkpoint, part: Splits, config: ExportConfig, request: ExportRequest
) -> tuple[list[int], float]:
    """The sizes of the Bundles, fp32 first, and the seconds."""
    started = time.perf_counter()
    sizes = [bundle.size_bytes() for bundle in export_run(student, part, config, request)]
    return sizes, time.perf_counter() - started


def _candidates(config: ExportConfig, request: ExportRequest, has_ranges: bool) -> int:
    """How many files `search_schemes` tries, unless all of them lose too much."""
    calibrations = len(RANGE_METHODS) if config.calibration == "auto" else 1
    if request.precision == "int4":
        matmuls = 1
    else:
        matmuls = 1 + has_ranges + (calibrations if config.matmuls == "auto" else 0)
    return matmuls + (0 if config.convolutions == "float" else calibrations + 1)
