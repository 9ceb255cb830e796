"""A report's figures as tables of the page. Knows reports and markup, draws nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.page.cast import Device
from bench.report.page.html import Html, Line, table
from bench.report.page.words import (
    NONE,
    macro,
    megabytes,
    micro,
    milliseconds,
    signed,
    stage_names,
    throughput,
    time,
)
from bench.report.types import BenchReport, Resident, Row
from distill.scoring.estimate import Estimate


def headline(found: Sequence[Device]) -> Html:
    """All variants of all devices, one line each."""
    many = len(found) > 1
    head = ["variant", *(["device"] if many else []), "micro-F1 [95 %]", "macro-F1 [95 %]"]
    head += ["p50 ms [95 %]", "p90 ms", "p99 ms", "cold start s", "peak MB above imports", "disk MB"]
    rows = [(device, row) for device in found for row in device.report.rows]
    energy = any(row.joules is not None for _, row in rows)
    lines = []
    for device, row in rows:
        cells = [row.name, *([f"{device.glyph} {device.title}"] if many else []), *_headline(row)]
        cells += [_number(row.joules)] if energy else []
        lines.append(Line(tuple(cells), row.own))
    return table("The variants", head + (["J a call"] if energy else []), lines, words=2 if many else 1)


def _headline(row: Row) -> list[str]:
    timing, used = row.timings[0], row.memory
    times = [time(timing.p50), _quantile(timing.p90), _quantile(timing.p99), f"{row.cold.total_ms / 1000:.2f}"]
    sizes = [megabytes(used.peak_bytes - used.imported.rss_bytes), f"{row.size_bytes / 1e6:.1f}"]
    return [micro(row.quality), macro(row.quality), *times, *sizes]


def _quantile(found: Estimate | None) -> str:
    return time(found).split(" [")[0]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def timings(report: BenchReport) -> Html:
    """Everything that was timed."""
    head = ["variant", "threads", "batch", "calls", "p50 ms [95 %]", "p90 ms [95 %]", "p99 ms [95 %]"]
    head += ["examples a second", "spread of the rounds' medians"]
    lines = [
        Line(
            (
                *(row.name, str(t.threads), str(t.batch), str(t.calls), time(t.p50), time(t.p90), time(t.p99)),
                *(f"{throughput(t).value:.1f}", f"{t.round_spread:.1%}"),
            ),
            row.own,
        )
        for row in report.rows
        for t in row.timings
    ]
    return table("Milliseconds a call, end to end: image files and texts in, labels out", head, lines)


def cold_starts(report: BenchReport) -> Html:
    """From a process's start to its first answer."""
    head = [
        "variant",
        "processes",
        "total s",
        "imports s",
        "open the model s",
        "first call s",
        "fastest s",
        "slowest s",
    ]
    lines = []
    for row in report.rows:
        cold = row.cold
        spread = (min(cold.starts_ms), max(cold.starts_ms)) if cold.starts_ms else ()
        parts = (cold.total_ms, cold.import_ms, cold.open_ms, cold.first_call_ms, *spread)
        lines.append(Line((row.name, str(len(cold.starts_ms)), *(f"{ms / 1000:.2f}" for ms in parts)), row.own))
    return table("Cold start: from a fresh process to its first answer, medians", head, lines)


def stages(report: BenchReport) -> Html:
    """Milliseconds of every stage."""
    names = stage_names(report)
    lines = []
    for row in report.rows:
        ms = {part.name: part.ms for part in row.stages}
        cells = (milliseconds(ms[name]) if name in ms else NONE for name in names)
        lines.append(Line((row.name, *cells, milliseconds(sum(ms.values()))), row.own))
    return table("Mean milliseconds of each stage of a call at batch 1", ["variant", *names, "sum"], lines)


def memory(report: BenchReport) -> Html:
    """Megabytes of every process."""
    head = ["variant", "imports", "imports, PSS", "peak of loading", "steady", "steady, PSS", "peak"]
    head += ["arena off: steady", "arena off: peak", "arena off: p50 ms", "torch loaded"]
    lines = []
    for row in report.rows:
        used, bare = row.memory, row.memory.without_arena
        cells = [megabytes(used.imported.rss_bytes), _pss(used.imported), megabytes(used.load_peak_bytes)]
        cells += [megabytes(used.steady.rss_bytes), _pss(used.steady), megabytes(used.peak_bytes)]
        if bare is None:
            cells += [NONE] * 3
        else:
            cells += [megabytes(bare.steady.rss_bytes), megabytes(bare.peak_bytes), milliseconds(bare.p50_ms)]
        lines.append(Line((row.name, *cells, "yes" if used.torch_loaded else "no"), row.own))
    return table("Resident memory in MB (RSS where nothing else is said)", head, lines)


def _pss(found: Resident) -> str:
    return NONE if found.pss_bytes is None else megabytes(found.pss_bytes)


def work(report: BenchReport) -> Html | None:
    """How close each model comes to the machine's own peaks; None where no work was counted."""
    lines = []
    for row in report.rows:
        if row.work is not None:
            w = row.work
            macs = (f"{w.small_macs / 1e6:.1f}", f"{w.float_macs / 1e6:.1f}")
            rate = f"{2 * (w.small_macs + w.float_macs) / w.model_ms / 1e6:.1f}" if w.model_ms else NONE
            cells = (row.name, str(w.tokens), *macs, milliseconds(w.model_ms), milliseconds(w.ideal_ms), rate)
            lines.append(Line((*cells, f"{w.of_peak:.0%}"), row.own))
    head = ["variant", "tokens", "million MACs, 8 bits or fewer", "million MACs, float", "model ms", "ideal ms"]
    caption = "One example's multiply-accumulates (MACs) against what the machine can do"
    return table(caption, [*head, "achieved Gop/s", "of the peak"], lines) if lines else None


def peaks(report: BenchReport) -> Html | None:
    """What the machine itself reaches; None where it was not measured."""
    lines = [
        Line((f"{p.rows} × {p.inner} × {p.columns}", str(p.threads), f"{p.int8_gops:.1f}", f"{p.fp32_gops:.1f}"))
        for p in report.peaks
    ]
    head = ["matrix product", "threads", "int8 Gop/s", "fp32 Gop/s"]
    return table("The machine's peaks: its best matrix products in onnxruntime", head, lines) if lines else None


def quality(rows: Sequence[Row], report: BenchReport) -> Html:
    """Overall quality, a line a variant, and the constant predictor."""
    head = ["variant", "micro-F1 [95 %]", "macro-F1 [95 %]", "macro-F1, empty label = 1", "micro-AP", "ECE"]
    head += [
        "micro-F1, text alone",
        "micro-F1, image alone",
        "micro-F1, own thresholds",
        "macro-F1, own thresholds",
    ]
    lines = []
    for row in rows:
        q, own = row.quality, row.quality_own_thresholds
        cells = [micro(q), macro(q), f"{q.macro_f1_empty_as_one:.3f}", f"{q.micro_ap:.3f}", f"{q.ece:.3f}"]
        cells += [f"{half.micro_f1.value:.3f}" for half in (row.quality_text_alone, row.quality_image_alone)]
        cells += [NONE, NONE] if own is None else [f"{own.micro_f1.value:.3f}", f"{own.macro_f1.value:.3f}"]
        lines.append(Line((row.name, *cells), row.own))
    constant = report.constant
    known = (constant.micro_f1, constant.macro_f1, constant.macro_f1_empty_as_one)
    lines.append(Line((f"always {', '.join(constant.names)}", *(f"{f1:.3f}" for f1 in known), *([NONE] * 6))))
    return table(f"Quality on {report.conditions.split}, {rows[0].quality.examples} examples", head, lines)


def differences(rows: Sequence[Row]) -> Html | None:
    """Each variant minus another; None where nothing was subtracted."""
    lines = []
    for row in rows:
        for d in row.differences:
            flipped = f"{d.flipped} of {d.decisions}"
            lines.append(Line((row.name, d.reference, signed(d.micro_f1), signed(d.macro_f1), flipped), row.own))
    head = ["variant", "minus", "micro-F1 [95 %]", "macro-F1 [95 %]", "decisions that are others"]
    return table("Differences on the same examples, paired bootstrap", head, lines, words=2) if lines else None


def thresholds(rows: Sequence[Row]) -> Html:
    """Where each variant's thresholds come from."""
    return table("Thresholds", ["variant", "fitted on"], [Line((r.name, r.thresholds), r.own) for r in rows], 2)


def labels(rows: Sequence[Row], own: Row) -> Html:
    """Every label: the own variant in full, the F1 of the others."""
    others = [row for row in rows if row.name != own.name]
    head = ["label", "support", "predicted", "precision", "recall", "F1", "AP", "threshold"]
    head += [f"F1, {row.name}" for row in others]
    lines = []
    for i in sorted(range(len(own.quality.labels)), key=lambda i: -own.quality.labels[i].support):
        q = own.quality.labels[i]
        ap = NONE if q.average_precision is None else f"{q.average_precision:.3f}"
        cells = [q.name, str(q.support), str(q.predicted), f"{q.precision:.3f}", f"{q.recall:.3f}", f"{q.f1:.3f}"]
        cells += [ap, f"{q.threshold:.3f}", *(f"{row.quality.labels[i].f1:.3f}" for row in others)]
        lines.append(Line(tuple(cells)))
    return table(f"By label, the most frequent first: {own.name}, and the others' F1", head, lines)


def reliability(rows: Sequence[Row]) -> Html:
    """The bins of the reliability diagram."""
    lines = [
        Line(
            (
                *(row.name, f"{part.low:.2f} – {part.high:.2f}", str(part.count)),
                *((f"{part.mean_probability:.3f}", f"{part.frequency:.3f}") if part.count else (NONE, NONE)),
            ),
            row.own,
        )
        for row in rows
        for part in row.reliability
    ]
    return table("Reliability", ["variant", "probability", "pairs", "mean probability", "frequency"], lines)
