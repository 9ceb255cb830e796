"""The page of a benchmark: one HTML file that holds all it shows, for one device or several. Measures nothing.

No script, no font and no image comes from elsewhere, and none could: the page forbids it itself. The same reports
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.measure.latency import needed
from bench.report.page import tables
from bench.report.page.cast import Device, colours, compared, devices, once_each, same_examples
from bench.report.page.conditions import INTERVALS, conditions
from bench.report.page.html import Html, details, join, tag
from bench.report.page.style import Colour, stage, style_sheet
from bench.report.page.words import answer, cautions, stage_names
from bench.report.types import BenchReport
from distill.core.errors import BenchError
from distill.core.extras import require_extra
from distill.core.files import write_text

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
NOTHING = Html()


def write(reports: Sequence[BenchReport], out: Path) -> None:
    """The page as a file, whole or not at all. Raises InstallError without matplotlib."""
    write_text(out, to_html(reports))


def to_html(reports: Sequence[BenchReport]) -> str:
    """The page. Raises InstallError without matplotlib, and BenchError without a report."""
    if not reports:
        raise BenchError("no report to make a page of; give the JSON of distill bench")
    found = devices(reports)
    names = ", ".join(dict.fromkeys(report.own.name for report in reports))
    title = f"{names} on {found[0].title if len(found) == 1 else f'{len(found)} devices'}"
    require_extra("plots", "the benchmark's page")
    body = _body(found, title)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("title", f"Benchmark: {title}"),
        tag("style", Html(style_sheet())),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _body(found: Sequence[Device], title: str) -> Html:
    ink = colours(found)
    parts = [_top(found, title), _front(found, ink)]
    parts += [_device(device, ink, f"d{i}", len(found) > 1) for i, device in enumerate(found)]
    groups = same_examples(found)
    parts += [_quality(group, ink, f"q{i}", len(groups) > 1) for i, group in enumerate(groups)]
    parts.append(conditions(found))
    return tag("main", *parts)


def _top(found: Sequence[Device], title: str) -> Html:
    many = len(found) > 1
    parts = [tag("h1", title)]
    for device in found:
        where = [tag("strong", f"{device.title}. ")] if many else []
        parts.append(tag("p", *where, answer(device.report), class_="answer"))
        parts += [_noise(device, many)] if device.report.noise.verdict == "noisy" else []
        parts += [] if many else [_cautions(device)]
    first = found[0].report.own.timings[0]
    threads = (
        f"{first.threads} thread{'s' * (first.threads != 1)}" if first.threads else "as many threads as it likes"
    )
    note = f"Times are whole calls with {threads} and batch {first.batch}, from image file and text to labels. "
    parts += [tables.headline(found), tag("p", note + INTERVALS + _missing(found), class_="muted")]
    return tag("header", *parts)


def _cautions(device: Device) -> Html:
    return tag("ul", *(tag("li", text) for text in cautions(device.report)))


def _missing(found: Sequence[Device]) -> str:
    """Why a quantile is not there."""
    first = [row.timings[0] for device in found for row in device.report.rows]
    if all(timing.p90 is not None and timing.p99 is not None for timing in first):
        return ""
    return f" p90 needs {needed(0.9)} calls and p99 {needed(0.99)}."


def _noise(device: Device, many: bool) -> Html:
    where = f" on {device.title}" if many else ""
    said = tag("strong", f"NOISY{where}: do not quote these times. Measure again on a quiet machine.")
    reasons = tag("ul", *(tag("li", reason) for reason in device.report.noise.reasons))
    return tag("div", said, reasons, class_="noisy", role="note")


def _front(found: Sequence[Device], ink: dict[str, Colour]) -> Html:
    from bench.report.page import plots

    told = "The grey steps are the Pareto front: below and right of them, something measured is faster and better."
    marks = _key([f"{device.glyph} {device.title}" for device in found]) if len(found) > 1 else NOTHING
    figures = [
        _figure("Micro-F1 against latency", told, plots.against_latency(found, ink, "micro", "front-micro"), marks),
        _figure(
            "Macro-F1 against latency",
            "Every label counts the same, however rare: the few examples of rare labels move it, and its intervals "
            "are wide.",
            plots.against_latency(found, ink, "macro", "front-macro"),
            marks,
        ),
    ]
    return tag("section", tag("h2", "F1 against latency"), tag("div", *figures, class_="plots"))


def _device(device: Device, ink: dict[str, Colour], name: str, many: bool) -> Html:
    report, figures = device.report, _device_figures(device.report, ink, name)
    limits = [part for part in (tables.work(report), tables.peaks(report)) if part is not None]
    parts = [tag("h2", f"Time and memory on {device.title}" if many else "Time and memory")]
    parts += [_cautions(device)] if many else []
    parts.append(tag("div", *figures, class_="plots"))
    parts.append(details("All that was timed", tables.timings(report)))
    parts.append(tables.cold_starts(report))
    if limits:
        parts += [tag("h3", "How close to the machine's limit"), *limits]
    return tag("section", *parts)


def _device_figures(report: BenchReport, ink: dict[str, Colour], name: str) -> list[Html]:
    from bench.report.page import plots, plots_parts, plots_scaling

    told = (
        "Each stroke is a call, each row of strokes a round, the first on top. The dark lines are p50 (thick), p90 "
        "and p99, these where there are calls enough."
    )
    found = [_figure("Every call", told, plots.every_call(report, ink, f"{name}-calls"))]
    if any(row.stages for row in report.rows):
        key = _key([join([_chip(stage(part).name), part]) for part in stage_names(report)])
        told = (
            "A whole bar is one call of that variant: compare shares by length, and variants by their milliseconds."
        )
        plot = plots_parts.stages(report, ink, f"{name}-stages")
        table = details("The milliseconds", tables.stages(report))
        found.append(_figure("Where the time goes", told, plot, key, table))
    told = (
        "Grey: interpreter and imports. Full: what is held after the calls. Hollow: up to the most ever held. The "
        "dark line is the peak while loading, the thin bar the same without onnxruntime's arena."
    )
    plot = plots_parts.memory(report, ink, f"{name}-memory")
    found.append(_figure("Memory", told, plot, below=details("The megabytes", tables.memory(report))))
    threads, batches = plots_scaling.by_threads(report), plots_scaling.by_batch(report)
    if threads:
        plot = plots_scaling.curves(threads, ink, "threads", "p50 of a call, ms (log)", f"{name}-threads")
        found.append(_figure("Latency by threads", "Lower is better.", plot))
    if batches:
        plot = plots_scaling.curves(batches, ink, "examples in a batch", "examples a second (log)", f"{name}-batch")
        found.append(_figure("Throughput by batch", "Higher is better.", plot))
    return found


def _quality(group: Sequence[Device], ink: dict[str, Colour], name: str, many: bool) -> Html:
    from bench.report.page import plots_quality

    report, rows = group[0].report, once_each(group)
    own, other = report.own, compared(report)
    pair = [own] if other is None else [own, other]
    both = [ink[row.name] for row in pair]
    where = ", ".join(device.title for device in group)
    bins = details("The bins of all variants", tables.reliability(rows))
    figures = [
        _figure(
            "F1 by label",
            "n is how many examples have the label: few make an F1 that chance moves far.",
            plots_quality.by_label(pair, both, f"{name}-labels"),
        ),
        _figure(
            "Can probabilities be taken at their word?",
            "On the dashed line they can. Small dots are bins of fewer than 30 pairs.",
            plots_quality.reliability(pair, both, f"{name}-reliability"),
            below=bins,
        ),
    ]
    parts = [tag("h2", f"Quality on {where}" if many else "Quality"), *_disagreements(group)]
    parts += [tables.quality(rows, report)]
    parts += [part for part in (tables.differences(rows),) if part is not None]
    parts += [tag("div", *figures, class_="plots"), tables.labels(rows, own), tables.thresholds(rows)]
    return tag("section", *parts)


def _disagreements(group: Sequence[Device]) -> list[Html]:
    """A processor may round int8 otherwise: what is shown once must say where it is not the same."""
    said = []
    for row in once_each(group):
        f1s = {
            device.title: found.quality.micro_f1.value
            for device in group
            for found in device.report.rows
            if found.name == row.name
        }
        if len(set(f1s.values())) > 1:
            told = ", ".join(f"{f1:.4f} on {title}" for title, f1 in f1s.items())
            said.append(
                tag("p", f"{row.name} does not decide alike everywhere, micro-F1 {told}; the first is shown.")
            )
    return said


def _figure(title: str, told: str, plot: Html, key: Html = NOTHING, below: Html = NOTHING) -> Html:
    """A plot under its title and its key; the table of its figures below."""
    return tag("figure", tag("h3", title), tag("figcaption", told), key, plot, below)


def _key(entries: Sequence[str]) -> Html:
    return tag("ul", *(tag("li", entry) for entry in entries), class_="key")


def _chip(colour: str) -> Html:
    return tag("span", class_="chip", style=f"background:var(--{colour})", aria_hidden="true")
