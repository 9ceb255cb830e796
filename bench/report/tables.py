"""Tables of a report, for the terminal and for Markdown. Knows figures, measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from bench.measure.latency import needed
from bench.report.types import BenchReport, Row, Timing
from distill.core.terminal import output
from distill.scoring.estimate import Estimate

MB = 1e6


@dataclass(frozen=True)
class Grid:
    """A table that is not drawn yet: the first column names a row, the others are figures."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left")
        table.add_column(self.headings[0])  # the one that wraps when the terminal is narrow: figures stay whole
        for name in self.headings[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def only(self, columns: Sequence[int], title: str) -> Grid:
        """The same with the names and some of the columns."""
        chosen = (0, *columns)
        return Grid(
            title,
            tuple(self.headings[i] for i in chosen),
            tuple(tuple(row[i] for i in chosen) for row in self.rows),
        )

    def to_markdown(self) -> str:
        """A table of Markdown, without its title."""
        lines = ["| " + " | ".join(self.headings) + " |", "|---" + "|---:" * (len(self.headings) - 1) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def headline(report: BenchReport) -> Grid:
    """What most readers want: F1, time, memory and size of each variant."""
    rows = []
    for row in report.rows:
        q, timing = row.quality, row.timings[0]
        rows.append(
            (
                row.name,
                f"{q.micro_f1:.3f}",
                f"{q.macro_f1:.3f}",
                f"{timing.p50:.1f}",
                _value(timing.p90),
                _value(timing.p99),
                f"{row.cold.total_ms / 1e3:.2f}",
                f"{row.memory.peak_bytes / MB:.0f}",
                f"{row.size_bytes / MB:.1f}",
            )
        )
    names = ("micro-F1 [95 %]", "macro-F1 [95 %]", "p50 ms [95 %]", "p90", "p99", "cold s", "peak MB", "disk MB")
    return Grid("Benchmark", ("", *names), tuple(rows))


def differences(report: BenchReport) -> Grid | None:
    """In pairs on the same examples; None when there is only one variant."""
    compared = [(f"{row.name} - {d.reference}", d) for row in report.rows for d in row.differences]
    if not compared:
        return None
    rows = tuple(
        (
            name,
            f"{d.micro_f1:+.3f}",
            f"{d.macro_f1:+.3f}",
            f"{d.flipped} of {d.decisions} ({d.flipped / d.decisions:.1%})",
        )
        for name, d in compared
    )
    return Grid(
        "Differences, paired bootstrap over examples",
        ("", "micro-F1 [95 %]", "macro-F1 [95 %]", "decisions that flip"),
        rows,
    )


def stages(report: BenchReport) -> Grid:
    """Where the time of a call goes."""
    names = list(dict.fromkeys(stage.name for row in report.rows for stage in row.stages))
    order = ("decode", "resize", "tokenise", "batch", "text", "image", "head", "model", "decide")
    names.sort(key=order.index)
    rows = []
    for row in report.rows:
        by_name = {stage.name: f"{stage.ms:.2f}" for stage in row.stages}
        total = sum(stage.ms for stage in row.stages)
        rows.append((row.name, *(by_name.get(name, "–") for name in names), f"{total:.1f}"))
    return Grid("Where the time goes, mean ms of a call", ("", *names, "sum"), tuple(rows))


def memory(report: BenchReport) -> Grid:
    """Resident memory above the interpreter with the same imports; PSS where the system has it."""
    rows = []
    for row in report.rows:
        m = row.memory
        base, arena = m.imported.rss_bytes, m.without_arena
        pss = [part.pss_bytes for part in (m.steady, m.imported)]
        above = "–" if pss[0] is None or pss[1] is None else f"{(pss[0] - pss[1]) / MB:.0f}"
        rows.append(
            (
                row.name,
                f"{base / MB:.0f}",
                f"+{(m.load_peak_bytes - base) / MB:.0f}",
                f"+{(m.steady.rss_bytes - base) / MB:.0f}",
                above if above == "–" else f"+{above}",
                f"+{(m.peak_bytes - base) / MB:.0f}",
                "–" if arena is None else f"+{(arena.peak_bytes - base) / MB:.0f}, {arena.p50_ms:.1f} ms",
            )
        )
    names = ("imports", "load peak", "steady", "steady PSS", "peak", "peak, p50 without arena")
    return Grid("Memory, MB above the imports", ("", *names), tuple(rows))


def cold(report: BenchReport) -> Grid:
    """From the start of the process to its first answer."""
    rows = tuple(
        (
            row.name,
            *(f"{value:.0f}" for value in (row.cold.import_ms, row.cold.open_ms, row.cold.first_call_ms)),
            f"{row.cold.total_ms:.0f}",
            f"{min(row.cold.starts_ms):.0f}–{max(row.cold.starts_ms):.0f}",
        )
        for row in report.rows
    )
    names = ("imports", "open", "first call", "whole", "all starts")
    return Grid("Cold start, ms, files in the system's cache", ("", *names), rows)


def scaling(report: BenchReport) -> Grid | None:
    """Every number of threads and batch size; None when only one was measured."""
    settings = [(timing.threads, timing.batch) for timing in report.rows[0].timings]
    if len(settings) == 1:
        return None
    names = (f"{threads} thread{'s' * (threads > 1)}, batch {batch}" for threads, batch in settings)
    rows = tuple(
        (row.name, *(f"{t.p50.value:.1f} ms, {throughput(t):.0f}/s" for t in row.timings)) for row in report.rows
    )
    return Grid("Threads and batches: p50 of a call, examples a second", ("", *names), rows)


def limit(report: BenchReport) -> Grid | None:
    """How near the model comes to the machine's own matrix products."""
    done = [(row.name, row.work) for row in report.rows if row.work is not None]
    if not done:
        return None
    rows = tuple(
        (
            name,
            str(w.tokens),
            f"{w.small_macs / 1e9:.2f}",
            f"{w.float_macs / 1e9:.2f}",
            f"{w.model_ms:.1f}",
            f"{w.ideal_ms:.1f}",
            f"{w.of_peak:.0%}",
        )
        for name, w in done
    )
    p = report.peaks[0]
    title = (
        f"How near to the limit: {p.int8_gops:.0f} Gop/s in int8 and {p.fp32_gops:.0f} in fp32 at "
        f"{p.rows} x {p.inner} x {p.columns} with {p.threads} thread(s)"
    )
    names = ("tokens", "int8 GMAC", "fp32 GMAC", "model ms", "at peak ms", "achieved / peak")
    return Grid(title, ("", *names), rows)


def grids(report: BenchReport) -> list[Grid]:
    """All tables, the most asked for first."""
    made = (
        headline(report),
        differences(report),
        stages(report),
        cold(report),
        memory(report),
        scaling(report),
        limit(report),
    )
    return [grid for grid in made if grid is not None]


def footnotes(report: BenchReport) -> list[str]:
    """What a reader must know to use the headline."""
    m, c, constant, timing = report.machine, report.conditions, report.constant, report.rows[0].timings[0]
    notes = [
        f"{m.cpu} ({m.int8_target}), {m.cores} cores, {timing.threads} thread(s), batch {timing.batch}, "
        f"{timing.calls} calls each in interleaved rounds of the same {c.calls_a_round} examples, short to long; "
        "end to end from image file and text to labels; peak MB is the whole process.",
        f"Quality on {c.split} ({c.examples} examples); thresholds {_origins(report.rows)}; macro-F1 counts "
        "an empty label as 0; intervals are bootstrap, over examples for F1 and over rounds for times.",
        f"Micro-F1 of the text alone and of the image alone: {_halves(report.rows)}.",
        f"Always predicting {', '.join(constant.names)} gives micro-F1 {constant.micro_f1:.3f}, "
        f"macro-F1 {constant.macro_f1:.3f}.",
        noise_sentence(report),
    ]
    missing = [name for name, value in (("p90", timing.p90), ("p99", timing.p99)) if value is None]
    if missing:
        calls = max(needed(0.9 if name == "p90" else 0.99) for name in missing)
        notes.append(f"No {' and no '.join(missing)}: that takes {calls} calls or more (--calls {calls}).")
    return notes


def noise_sentence(report: BenchReport) -> str:
    """The verdict on the machine."""
    n = report.noise
    twin = f"the same Bundle in a second process took {n.ratio:.3f} of its time"
    if n.verdict == "quiet":
        return f"The machine was quiet: {twin}."
    return f"NOISY: {'; '.join(n.reasons)} ({twin}). Measure again on a quiet machine before quoting times."


def show(report: BenchReport) -> None:
    """Everything, on the terminal."""
    first, *rest = grids(report)
    # In one table they are wider than most terminals.
    for grid in (first.only((1, 2, 3, 4, 5), "Benchmark"), first.only((6, 7, 8), "Start and size"), *rest):
        output.print(grid.to_rich())
    for line in footnotes(report):
        output.print(f"- {line}", highlight=False, markup=False, style="bold" if line.startswith("NOISY") else None)


def to_markdown(report: BenchReport) -> str:
    """For a README: the headline and its conditions."""
    return headline(report).to_markdown() + "\n" + "".join(f"- {note}\n" for note in footnotes(report))


def to_whole_markdown(report: BenchReport) -> str:
    """Everything."""
    rest = "".join(f"\n**{grid.title}**\n\n{grid.to_markdown()}" for grid in grids(report)[1:])
    return to_markdown(report) + rest


def throughput(timing: Timing) -> float:
    """Examples a second at the median."""
    return 1e3 * timing.batch / timing.p50.value


def _value(value: Estimate | None) -> str:
    return "–" if value is None else f"{value.value:.1f}"


def _origins(rows: Sequence[Row]) -> str:
    """Where thresholds come from; those of most rows are told without naming the rows."""
    by_origin: dict[str, list[str]] = {}
    for row in rows:
        by_origin.setdefault(row.thresholds, []).append(row.name)
    most = max(by_origin, key=lambda how: len(by_origin[how]))
    rest = [f"{how} ({', '.join(names)})" for how, names in by_origin.items() if how != most]
    return "; ".join([most, *rest])


def _halves(rows: Sequence[Row]) -> str:
    """Of the first row and of the own one."""
    return "; ".join(
        f"{row.quality_text_alone.micro_f1.value:.3f} and {row.quality_image_alone.micro_f1.value:.3f} ({row.name})"
        for row in rows
        if row is rows[0] or row.own
    )
