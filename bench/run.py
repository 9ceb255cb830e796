"""A whole benchmark: quality, then time and memory, then how near each model comes to the machine's limit."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

import distill
from bench.measure import machine, peak, work
from bench.measure.images import image_sizes
from bench.measure.interleave import ROUND, Measured, Plan, by_length, measure
from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import SplitEvaluation, difference, evaluate
from bench.report import page, tables
from bench.report.measured import Peak, Work
from bench.report.types import BenchReport, Conditions, ImageSizes, Row, to_indices
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import Variant, fp32_path
from distill.core.extras import can_plot, install_command
from distill.core.output.terminal import note
from distill.core.settings.objective import Objective
from distill.core.storage.files import write_json, write_text
from distill.core.tracking import open_tracking
from distill.core.tracking.trackers import Home
from distill.data.labels import LabelSet
from distill.runtime.bundle import Bundle

REACHED = ("int8_gops", "fp32_gops", "read_gb_s")  # of a Peak


def run(variants: Sequence[Variant], eval_set: EvalSet, plan: Plan) -> BenchReport:
    """Measure the variants, of which the last is the one that the benchmark is about. Raises BenchError,
    BundleError and RunError for one that cannot be opened or run, and ImageError."""
    here, started = machine.describe(plan.device), datetime.now(timezone.utc).isoformat(timespec="seconds")
    labels, evaluations, objectives = _evaluate(variants, eval_set)
    images = image_sizes(eval_set.examples)
    baseline = next((variant for variant in variants if variant.folder == plan.baseline), None)
    peaks = _peaks(plan)
    note(f"timing {len(variants)} variants, {plan.calls} calls each, {', '.join(map(str, plan.threads))} thread(s)")
    measured, noise = measure(variants, eval_set.examples, plan)
    # The larger of two: a peak that something else disturbed is no peak.
    peaks = [
        replace(a, **{name: max(getattr(a, name), getattr(b, name)) for name in REACHED})
        for a, b in zip(peaks, _peaks(plan), strict=True)
    ]
    targets = eval_set.targets
    rows = []
    for variant, times, evaluation, objective in zip(variants, measured, evaluations, objectives, strict=True):
        differences = tuple(
            difference(
                variants[i].name, targets, evaluations[i].decided, evaluation.decided, objective, plan.margin
            )
            for i in _references(variants, variant, baseline)
        )
        row = Row(
            name=variant.name,
            runtime=variant.runtime,
            own=variant is variants[-1],
            size_bytes=variant.size_bytes,
            timings=times.timings,
            stages=times.stages,
            cold=times.cold,
            memory=times.memory,
            joules=times.joules,
            work=_work(variant, times, eval_set, peaks[0]),
            differences=differences,
            streams=times.streams,
            **{name: value for name, value in vars(evaluation).items() if name != "baseline"},
        )
        rows.append(row)
    return BenchReport(
        machine=here,
        conditions=_conditions(started, eval_set, plan, images),
        noise=noise,
        peaks=tuple(peaks),
        labels=labels.names,
        gold=to_indices(targets == 1),
        unknown=to_indices(np.isnan(targets)) if np.isnan(targets).any() else (),
        constant=eval_set.constant,
        rows=tuple(rows),
        baseline=None if baseline is None else baseline.name,
    )


def write(report: BenchReport, out: Path) -> list[Path]:
    """`out` (JSON), and the same as Markdown and, with distill[plots], as a page; what was written."""
    written = [out, out.with_suffix(".md")]
    write_json(out, report.to_json())
    write_text(written[1], tables.to_whole_markdown(report))
    if can_plot():
        written.append(out.with_suffix(".html"))
        page.write([report], written[2])
    else:
        note(f"no page with plots: that needs matplotlib; {install_command('plots')}, then distill bench page")
    return written


def track(report: BenchReport, written: Sequence[Path], report_to: Sequence[str]) -> None:
    """Log each variant's main figures, and the files that were written."""
    if not report_to:
        return
    conditions = {name: str(value) for name, value in vars(report.conditions).items() if name != "packages"}
    with open_tracking(report_to, Home.of_file(written[0]), conditions) as tracking:
        for row in report.rows:
            first, quality = row.timings[0], row.quality
            figures = {"micro_f1": quality.micro_f1.value, "macro_f1": quality.macro_f1.value}
            figures |= {"p50_ms": first.p50.value, "size_mb": row.size_bytes / 1e6}
            figures |= {f"f1/{label.name}": label.f1 for label in quality.labels}
            tracking.log(figures, 0, row.name)
        tracking.log_files(written)


def _evaluate(
    variants: Sequence[Variant], eval_set: EvalSet
) -> tuple[LabelSet, list[SplitEvaluation], list[Objective]]:
    evaluations, objectives = [], []
    for variant in variants:
        note(f"quality of {variant.name} on {eval_set.split}")
        model = open_variant(variant)
        evaluations.append(evaluate(model, eval_set.as_read_by(variant.folder)))
        objectives.append(model.thresholds.objective)
    return model.labels, evaluations, objectives


def _references(variants: Sequence[Variant], variant: Variant, baseline: Variant | None) -> list[int]:
    """Which ones a variant is compared with: the first teacher, else the first of all, and the baseline, if there
    is one; the own one, which is the last, with its fp32 parent too."""
    if variant is baseline:
        return []
    indices = [index for index, other in enumerate(variants) if other is not baseline]
    teachers = [index for index in indices if variants[index].kind == "teacher"]
    others = [*(teachers or indices)[:1], *(index for index in range(len(variants)) if index not in indices)]
    if variant is variants[-1]:
        others += [index for index, other in enumerate(variants) if other.folder == fp32_path(variant.folder)][:1]
    return [index for index in dict.fromkeys(others) if variants[index] is not variant]


def _peaks(plan: Plan) -> list[Peak]:
    with tempfile.TemporaryDirectory(prefix="distill-peak-") as folder:
        return [peak.measure(threads, Path(folder)) for threads in plan.threads]


def _work(variant: Variant, times: Measured, eval_set: EvalSet, reached: Peak) -> Work | None:
    if variant.runtime != "onnxruntime":
        return None
    bundle, middle = Bundle.open(variant.folder), by_length(eval_set.examples)[ROUND // 2]
    preprocessor = bundle.preprocessor()
    batch = preprocessor.batch(preprocessor.rows([middle.text], [preprocessor.image(middle.image)]))
    return work.work(bundle.model, batch, times.model_ms, reached)


def _conditions(started: str, eval_set: EvalSet, plan: Plan, images: ImageSizes | None) -> Conditions:
    return Conditions(
        started=started,
        python=platform.python_version(),
        distill=distill.__version__,
        git=machine.git_revision(Path(__file__).parent),
        packages=machine.packages(),
        spinning=machine.spinning(),
        split=eval_set.split,
        examples=len(eval_set.examples),
        examples_sha256=eval_set.sha256(),
        calls=plan.calls,
        calls_a_round=ROUND,
        images=images,
    )
