"""The tables and the plot that come from docs/results/bench.json. Measures nothing."""

from __future__ import annotations

from dataclasses import replace

from bench.report.page.cast import colours, devices
from bench.report.page.plots import against_latency
from bench.report.page.style import variables
from bench.report.tables import Grid, noise_sentence, to_markdown
from bench.report.types import BenchReport

TIME_ONLY = "random-albert"  # a teacher whose ALBERT has random weights: its F1 means nothing


def judged(report: BenchReport) -> BenchReport:
    """Without what stands in it for its time alone."""
    return replace(report, rows=tuple(row for row in report.rows if TIME_ONLY not in row.name))


def bench_table(report: BenchReport) -> str:
    """The benchmark as `distill bench` writes it."""
    return to_markdown(judged(report))


def front_plot(report: BenchReport) -> str:
    """F1 against latency as an SVG file that follows the reader's light or dark."""
    found = devices([judged(report)])
    plot = str(against_latency(found, colours(found), "micro", "front"))
    style = f"{variables()} text{{font-family:sans-serif}}"
    head, _, rest = plot.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


def times_table(report: BenchReport) -> str:
    """Every runtime's time for the same calls, over the shipped int8 file's."""
    own = report.own.timings[0].p50.value
    lines = [
        "| | p50 ms [95 %] | p90 ms | p99 ms | p50 / ours | cold start s | peak MB | disk MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report.rows:
        timing = row.timings[0]
        tail = " | ".join("–" if q is None else f"{q.value:.1f}" for q in (timing.p90, timing.p99))
        lines.append(
            f"| {row.name} | {timing.p50:.1f} | {tail} | {timing.p50.value / own:.2f} "
            f"| {row.cold.total_ms / 1e3:.2f} | {row.memory.peak_bytes / 1e6:.0f} | {row.size_bytes / 1e6:.1f} |"
        )
    m, c, timing = report.machine, report.conditions, report.own.timings[0]
    packages = ("torch", "onnxruntime", "openvino", "nncf", "optimum")
    lines += [
        "",
        f"- {m.cpu} ({m.int8_target}), {m.cores} cores, {timing.threads} thread, batch {timing.batch}, "
        f"{timing.calls} calls each in interleaved rounds of the same {c.calls_a_round} examples, image file to "
        "labels.",
        f"- {', '.join(f'{name} {c.packages[name]}' for name in packages)}. {noise_sentence(report)}",
    ]
    return "\n".join(lines) + "\n"


def grid_table(grid: Grid | None) -> str:
    """One of the benchmark's tables, with its title."""
    assert grid is not None
    return f"**{grid.title}**\n\n{grid.to_markdown()}"
