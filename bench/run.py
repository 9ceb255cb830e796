"""A whole benchmark: quality, then time and memory, then how near to the machine's limit. Knows the order."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import distill
from bench.measure import machine, peak, work
from bench.measure.interleave import ROUND, Measured, Plan, by_length, measure
from bench.quality import judge as quality
from bench.quality.judge import Judged
from bench.quality.task import Task
from bench.report import tables as report
from bench.report.types import BenchReport, Conditions, Difference, Peak, Row, Work
from bench.runtimes.serving import open_variant
from bench.runtimes.variants import Variant, parent_of
from distill.core.extras import can_plot, install_command
from distill.core.files import write_json, write_text
from distill.core.terminal import note
from distill.data.labels import LabelSet
from distill.preprocess.inputs import Reader
from distill.runtime.bundle import Bundle


def run(variants: Sequence[Variant], task: Task, plan: Plan, device: str | None = None) -> BenchReport:
    """Measure the variants, of which the last is the one that the benchmark is about. Raises BenchError."""
    here, started = machine.describe(device), datetime.now(timezone.utc).isoformat(timespec="seconds")
    labels, judged = _judge(variants, task)
    peaks = _peaks(plan)
    note(f"timing {len(variants)} variants, {plan.calls} calls each, {_list(plan.threads)} thread(s)")
    measured, noise = measure(variants, task.examples, plan)
    peaks = [_better(*pair) for pair in zip(peaks, _peaks(plan), strict=True)]
    targets = labels.encode([example.labels for example in task.examples])
    rows = []
    for variant, times, found in zip(variants, measured, judged, strict=True):
        compared = tuple(
            quality.difference(variants[other].name, targets, judged[other].decided, found.decided)
            for other in _references(variants, variant)
        )
        own = variant is variants[-1]
        rows.append(_row(variant, own, times, found, compared, _work(variant, times, task, peaks[0])))
    return BenchReport(
        machine=here,
        conditions=_conditions(started, task, plan),
        noise=noise,
        peaks=tuple(peaks),
        labels=labels.names,
        gold=quality.indices(targets > 0.5),
        constant=task.constant,
        rows=tuple(rows),
    )


def write(made: BenchReport, out: Path) -> list[Path]:
    """`out` (JSON), and the same as Markdown and, where matplotlib is, as a page; what was written."""
    written = [out, out.with_suffix(".md")]
    write_json(out, made.to_json())
    write_text(written[1], report.to_whole_markdown(made))
    if not can_plot():
        note(f"no page with plots without matplotlib; {install_command('plots')}, then distill bench page")
    else:
        from bench.report import page

        written.append(out.with_suffix(".html"))
        page.write([made], written[2])
    return written


def _judge(variants: Sequence[Variant], task: Task) -> tuple[LabelSet, list[Judged]]:
    judged = []
    for variant in variants:
        note(f"quality of {variant.name} on {task.split}")
        served = open_variant(variant)
        judged.append(quality.judge(served, task))
    return served.labels, judged


def _references(variants: Sequence[Variant], variant: Variant) -> list[int]:
    """Which ones a variant is compared with: the first teacher, else the first of all; the own one, which is the
    last, with its fp32 parent too."""
    teachers = [index for index, other in enumerate(variants) if other.kind == "teacher"]
    others = [teachers[0] if teachers else 0]
    if variant is variants[-1]:
        others += [index for index, other in enumerate(variants) if other.folder == parent_of(variant.folder)][:1]
    return [index for index in dict.fromkeys(others) if variants[index] is not variant]


def _peaks(plan: Plan) -> list[Peak]:
    with tempfile.TemporaryDirectory(prefix="distill-peak-") as folder:
        return [peak.measure(threads, Path(folder)) for threads in plan.threads]


def _better(first: Peak, second: Peak) -> Peak:
    """The larger of each: a peak that something else disturbed is no peak."""
    return Peak(
        first.threads,
        first.rows,
        first.inner,
        first.columns,
        int8_gops=max(first.int8_gops, second.int8_gops),
        fp32_gops=max(first.fp32_gops, second.fp32_gops),
    )


def _work(variant: Variant, times: Measured, task: Task, reached: Peak) -> Work | None:
    if variant.runtime != "onnxruntime":
        return None
    bundle, reader_rows = Bundle.open(variant.folder), by_length(task.examples)
    reader = Reader(bundle.preprocess, bundle.tokenizer_json)
    middle = reader_rows[ROUND // 2]
    batch = reader.batch(reader.rows([middle.text], [reader.image(middle.image)]))
    return work.work(bundle.model, batch, times.model_ms, reached)


def _row(
    variant: Variant, own: bool, times: Measured, found: Judged, compared: tuple[Difference, ...], done: Work | None
) -> Row:
    return Row(
        name=variant.name,
        runtime=variant.runtime,
        own=own,
        size_bytes=variant.size_bytes,
        timings=times.timings,
        stages=times.stages,
        cold=times.cold,
        memory=times.memory,
        joules=times.joules,
        work=done,
        quality=found.honest,
        quality_own_thresholds=found.flattering,
        quality_text_alone=found.text_alone,
        quality_image_alone=found.image_alone,
        thresholds=found.thresholds,
        reliability=found.reliability,
        differences=compared,
        decided=found.decided,
    )


def _conditions(started: str, task: Task, plan: Plan) -> Conditions:
    return Conditions(
        started=started,
        python=platform.python_version(),
        distill=distill.__version__,
        git=machine.git_revision(Path(__file__).parent),
        packages=machine.packages(),
        spinning=machine.spinning(),
        split=task.split,
        examples=len(task.examples),
        examples_sha256=task.sha256(),
        calls=plan.calls,
        calls_a_round=ROUND,
    )


def _list(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)
