"""Every table of a report: each is described once, for the terminal, for Markdown and for the page.

The headline's columns come from the registry in `columns.py`; every other table is written out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.measure.latency import min_calls_for_quantile
from bench.report.columns import headline_metrics
from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.style import STAGES
from bench.report.kit.text import NONE
from bench.report.rows_grid import figure, own_rows, rows_grid
from bench.report.speed import alone, faster, limit, peaks, scaling, streams, timings
from bench.report.types import BenchReport, Bin, ImageSizes, Row, by_support
from distill.core.output.printable import escape_markdown
from distill.core.output.terminal import output
from distill.scoring.tables import threshold_cell

MB = 1e6
__all__ = [
    "alone",
    "faster",
    "limit",
    "peaks",
    "scaling",
    "streams",
    "timings",
]  # of speed, for whom tables are one


def headline(rows: Sequence[Row], devices: Sequence[str] = ()) -> Grid:
    """What most readers want, as the registry of metrics has it; `devices` names each row's if they differ."""
    metrics = headline_metrics(rows)
    headings = [metric.heading for metric in metrics]
    grid = rows_grid(
        "Benchmark", headings, rows, lambda row: (figure(m.read(row), f".{m.digits}f") for m in metrics)
    )
    if not devices:
        return grid
    lines = tuple((name, device, *cells) for device, (name, *cells) in zip(devices, grid.rows, strict=True))
    return replace(grid, headings=("", "device", *headings), rows=lines, words=(0, 1))


def differences(rows: Sequence[Row]) -> Grid | None:
    """In pairs on the same examples; None where nothing was subtracted."""
    lines: list[tuple[str, ...]] = []
    for row in rows:
        for d in row.differences:
            flips = f"{d.flipped} of {d.decisions} ({d.flipped / d.decisions:.1%})"
            cells = (f"{d.micro_f1:+.3f}", f"{d.macro_f1:+.3f}", flips)
            judged = ("", "") if d.verdict is None else (d.verdict.outcome, f"{d.verdict.detectable:.3f}")
            lines.append((f"{row.name} - {d.reference}", *cells, *judged))
    headings: tuple[str, ...] = ("", "micro-F1 [95 %]", "macro-F1 [95 %]", "decisions that flip")
    headings += ("verdict", "could be shown")
    if not any(d.verdict for row in rows for d in row.differences):  # of an earlier version
        headings, lines = headings[:4], [line[:4] for line in lines]
    own = own_rows(row for row in rows for _ in row.differences)
    return Grid("Differences, paired bootstrap over examples", headings, tuple(lines), own) if lines else None


def stage_names(report: BenchReport) -> list[str]:
    """The stages of all variants, in the order of a call."""
    names = dict.fromkeys(stage.name for row in report.rows for stage in row.stages)
    order = [colour.name for colour in STAGES]
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def stages(report: BenchReport) -> Grid:
    """Where the time of a call goes."""
    names = stage_names(report)

    def cells(row: Row) -> Iterable[str]:
        ms = {stage.name: stage.ms for stage in row.stages}
        return (*(figure(ms.get(name), ".2f") for name in names), f"{sum(ms.values()):.1f}")

    return rows_grid("Where the time goes, mean ms of a call", [*names, "sum"], report.rows, cells)


def memory(report: BenchReport) -> Grid:
    """Resident memory above the interpreter with the same imports; PSS where the system has it."""

    def above(size_bytes: int | None, base_bytes: int | None) -> str:
        return NONE if size_bytes is None or base_bytes is None else f"{(size_bytes - base_bytes) / MB:+.0f}"

    def cells(row: Row) -> Iterable[str]:
        m, base, arena = row.memory, row.memory.imported.rss_bytes, row.memory.without_arena
        yield f"{base / MB:.0f}"
        yield above(m.load_peak_bytes, base)
        yield above(m.steady.rss_bytes, base)
        yield above(m.steady.pss_bytes, m.imported.pss_bytes)
        yield above(m.peak_bytes, base)
        yield f"{above(arena.peak_bytes, base)}, {arena.p50_ms:.1f} ms" if arena else NONE
        yield above(arena.steady.rss_bytes, base) if arena else NONE
        yield NONE if m.imported.pss_bytes is None else f"{m.imported.pss_bytes / MB:.0f}"
        yield "yes" if m.torch_loaded else "no"

    names = ("imports", "load peak", "steady", "steady PSS", "peak", "peak, p50 without arena")
    more = ("steady without arena", "imports PSS", "torch loaded")
    return rows_grid("Memory, MB above the imports", names + more, report.rows, cells, page_only=len(more))


def cold(report: BenchReport) -> Grid:
    """From the start of the process to its first answer."""

    def cells(row: Row) -> Iterable[str]:
        c = row.cold
        yield from (f"{ms:.0f}" for ms in (c.import_ms, c.open_ms, c.first_call_ms, c.total_ms))
        yield f"{min(c.starts_ms):.0f}–{max(c.starts_ms):.0f}"
        yield str(len(c.starts_ms))

    names = ("imports", "open", "first call", "whole", "all starts", "processes")
    return rows_grid("Cold start, ms, files in the system's cache", names, report.rows, cells, page_only=1)


def quality(rows: Sequence[Row], report: BenchReport) -> Grid:
    """Overall quality, a line a variant, and the constant predictor."""

    def cells(row: Row) -> Iterable[str]:
        q, own = row.quality, row.quality_own_thresholds
        yield from (f"{q.micro_f1:.3f}", f"{q.macro_f1:.3f}")
        yield from (f"{figure:.3f}" for figure in (q.macro_f1_empty_as_one, q.micro_ap, q.ece))
        for half in (row.quality_text_alone, row.quality_image_alone):
            yield NONE if half is None else f"{half.micro_f1.value:.3f}"
        yield from (f"{f1.value:.3f}" for f1 in (own.micro_f1, own.macro_f1)) if own else (NONE, NONE)
        if q.hierarchical_f1 is not None:
            yield f"{q.hierarchical_f1:.3f}"
        yield from (f"{group.accuracy:.3f}" for group in q.groups or ())

    names = ("micro-F1 [95 %]", "macro-F1 [95 %]", "macro-F1, empty label = 1", "micro-AP", "ECE")
    halves = ("micro-F1, text alone", "micro-F1, image alone")
    own: tuple[str, ...] = ("micro-F1, own thresholds", "macro-F1, own thresholds")
    if rows[0].quality.hierarchical_f1 is not None:
        own += ("hierarchical F1",)
    accuracies = [f"{group.title} [95 %]" for group in rows[0].quality.groups or ()]
    title = f"Quality on {report.conditions.split}, {rows[0].quality.examples} examples"
    grid, c = rows_grid(title, [*names, *halves, *own, *accuracies], rows, cells), report.constant
    f1s = (f"{f1:.3f}" for f1 in (c.micro_f1, c.macro_f1, c.macro_f1_empty_as_one))
    of_groups = (f"{group.accuracy.value:.3f}" for group in c.groups or ())
    constant = (f"always {', '.join(c.names)}", *f1s, *[NONE] * (len(own) + 4), *of_groups)
    return replace(grid, rows=(*grid.rows, constant), emphasis=(*grid.emphasis, ""))


def thresholds(rows: Sequence[Row]) -> Grid:
    """Where each variant's thresholds come from."""
    return Grid("Thresholds", ("variant", "fitted on"), tuple((r.name, r.thresholds) for r in rows), words=(0, 1))


def labels(rows: Sequence[Row], own: Row) -> Grid:
    """Every label: the own variant in full, the F1 of the others."""
    others = [row for row in rows if row.name != own.name]
    headings = ["label", "support", "predicted", "precision", "recall", "F1", "AP", "threshold"]
    lines = []
    for i in by_support(own.quality):
        q = own.quality.labels[i]
        shares = (figure(share, ".3f") for share in (q.precision, q.recall, q.f1, q.average_precision))
        f1s = (f"{row.quality.labels[i].f1:.3f}" for row in others)
        lines.append((q.name, str(q.support), str(q.predicted), *shares, threshold_cell(q.threshold), *f1s))
    title = f"By label, the most frequent first: {own.name}, and the others' F1"
    return Grid(title, (*headings, *(f"F1, {row.name}" for row in others)), tuple(lines))


def reliability(bins: Sequence[tuple[str, Bin]], emphasis: Sequence[Emphasis] = ()) -> Grid:
    """The bins of reliability diagrams, each under its model's name."""
    lines = []
    for name, part in bins:
        shares = (f"{share:.3f}" if part.count else NONE for share in (part.mean_probability, part.frequency))
        lines.append((name, f"{part.low:.2f} – {part.high:.2f}", str(part.count), *shares))
    headings = ("", "probability", "pairs", "mean probability", "frequency")
    return Grid("Reliability over all pairs of example and label", headings, tuple(lines), tuple(emphasis))


def reliability_of(rows: Sequence[Row]) -> Grid:
    """The bins of all variants."""
    bins = [(row.name, part) for row in rows for part in row.reliability]
    return reliability(bins, own_rows(row for row in rows for _ in row.reliability))


def grids(report: BenchReport) -> list[Grid]:
    """The tables of the terminal and of Markdown, the most asked for first."""
    tables = (
        headline(report.rows),
        differences(report.rows),
        stages(report),
        cold(report),
        memory(report),
        scaling(report),
        alone(report),
        streams(report),
        faster(report),
        limit(report),
        peaks(report),
    )
    return [grid for grid in tables if grid is not None]


def footnotes(report: BenchReport) -> list[str]:
    """What a reader must know to use the headline."""
    m, c, constant, timing = report.machine, report.conditions, report.constant, report.rows[0].timings[0]
    accuracies = "".join(f", {group.title} {group.accuracy.value:.3f}" for group in constant.groups or ())
    notes = [
        f"{m.cpu} ({m.int8}), {m.cores} cores, {timing.threads} thread(s), batch {timing.batch}, "
        f"{timing.calls} calls each in interleaved rounds of the same {c.calls_a_round} examples, short to long; "
        f"end to end from image file{_image_sizes(c.images)} and text to labels; peak MB is the whole process.",
        f"Quality on {c.split} ({c.examples} examples); thresholds {_origins(report.rows)}; macro-F1 counts "
        "an empty label as 0; intervals are bootstrap, over examples for F1 and over rounds for times.",
        f"Micro-F1 {_halves(report.rows)}.",
        f"Always predicting {', '.join(constant.names)} gives micro-F1 {constant.micro_f1:.3f}, "
        f"macro-F1 {constant.macro_f1:.3f}{accuracies}.",
        *verdicts(report),
        noise_sentence(report),
    ]
    missing = [name for name, value in (("p90", timing.p90), ("p99", timing.p99)) if value is None]
    if missing:
        calls = max(min_calls_for_quantile(0.9 if name == "p90" else 0.99) for name in missing)
        notes.append(f"No {' and no '.join(missing)}: that takes {calls} calls or more (--calls {calls}).")
    return notes


def verdicts(report: BenchReport) -> list[str]:
    """Whether the own variant is better than those that it is compared with, and what these examples could show."""
    own, where = report.own, f"{report.conditions.split} ({report.conditions.examples} examples)"
    return [
        f"{verdict.sentence(own.name, d.reference, where)}."
        for d in own.differences
        if (verdict := d.verdict) is not None
    ]


def noise_sentence(report: BenchReport) -> str:
    """The verdict on the machine."""
    n = report.noise
    repeat = f"the same Bundle in a second process took {n.ratio:.3f} of its time"
    if n.verdict == "quiet":
        return f"The machine was quiet: {repeat}."
    return f"NOISY: {'; '.join(n.reasons)} ({repeat}). Measure again on a quiet machine before quoting times."


def show(report: BenchReport) -> None:
    """Print everything."""
    for grid in grids(report):
        for table in grid.to_rich(output.width):
            output.print(table)
    loud = noise_sentence(report) if report.noise.verdict == "noisy" else None
    for line in footnotes(report):
        output.print(f"- {line}", style="bold" if line == loud else None)


def to_markdown(report: BenchReport) -> str:
    """For a README: the headline and its conditions."""
    return (
        headline(report.rows).to_markdown()
        + "\n"
        + "".join(f"- {escape_markdown(note)}\n" for note in footnotes(report))
    )


def to_whole_markdown(report: BenchReport) -> str:
    """Everything."""
    rest = "".join(f"\n**{escape_markdown(grid.title)}**\n\n{grid.to_markdown()}" for grid in grids(report)[1:])
    return to_markdown(report) + rest


def _image_sizes(images: ImageSizes | None) -> str:
    return "" if images is None else f" ({images.side_px:.0f} pixels, {images.kb:.0f} kB, medians)"


def _origins(rows: Sequence[Row]) -> str:
    """Where thresholds come from; those of most rows stand without the rows' names."""
    by_origin: dict[str, list[str]] = {}
    for row in rows:
        by_origin.setdefault(row.thresholds, []).append(row.name)
    most = max(by_origin, key=lambda how: len(by_origin[how]))
    rest = [f"{how} ({', '.join(names)})" for how, names in by_origin.items() if how != most]
    return "; ".join([most, *rest])


def _halves(rows: Sequence[Row]) -> str:
    """Of the first row and of the own one, of each half that any example has."""
    shown = [row for row in rows if row is rows[0] or row.own]
    halves = {
        "text": [row.quality_text_alone for row in shown],
        "image": [row.quality_image_alone for row in shown],
    }
    known = {name: [q for q in of if q is not None] for name, of in halves.items() if None not in of}
    parts = [
        f"{' and '.join(f'{q.micro_f1.value:.3f}' for q in each)} ({row.name})"
        for row, *each in zip(shown, *known.values(), strict=True)
    ]
    return f"{' and '.join(f'of the {name} alone' for name in known)}: {'; '.join(parts)}"
