"""The tables of speed: every setting, models alone, many posts at once, ratios, and the machine's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.measure.latency import Rounds, repeat_ratio
from bench.report.columns import ENOUGH
from bench.report.kit.grid import Grid
from bench.report.kit.text import NONE
from bench.report.measured import Peak, Stream, Timing, Work
from bench.report.rows_grid import figure, own_rows, rows_grid
from bench.report.types import BenchReport, Row


def scaling(report: BenchReport) -> Grid | None:
    """Every number of threads and batch size; None when only one was measured."""
    settings = [(timing.threads, timing.batch) for timing in report.rows[0].timings]
    if len(settings) == 1:
        return None

    def cells(row: Row) -> Iterable[str]:
        return (f"{t.p50.value:.1f} ms, {t.throughput.value:.0f}/s" for t in row.timings)

    names = [_setting(timing) for timing in report.rows[0].timings]
    return rows_grid("Threads and batches: p50 of a call, examples a second", names, report.rows, cells)


def timings(report: BenchReport) -> Grid:
    """Everything that was timed."""
    quantiles = ("p50 ms [95 %]", "p90 ms [95 %]", "p99 ms [95 %]")
    headings = ("", "threads", "batch", "calls", *quantiles, "examples a second", "spread of the rounds' medians")
    lines = []
    for row in report.rows:
        for t in row.timings:
            times = (figure(time, ".1f", "too few calls") for time in (t.p50, t.p90, t.p99))
            rates = (f"{t.throughput.value:.1f}", f"{t.round_spread:.1%}")
            lines.append((row.name, str(t.threads), str(t.batch), str(t.calls), *times, *rates))
    title = "Milliseconds a call, end to end: image files and texts in, labels out"
    return Grid(title, headings, tuple(lines), own_rows(row for row in report.rows for _ in row.timings))


def alone(report: BenchReport) -> Grid | None:
    """The same settings without decoding and tokenising; None where that was not measured."""

    def cells(row: Row) -> Iterable[str]:
        for timing in row.timings:
            ms = timing.model_p50
            yield NONE if ms is None else f"{ms:.1f} ms, {1000 * timing.batch / ms:.0f}/s"

    if not any(timing.model_raw_ms for row in report.rows for timing in row.timings):
        return None
    names = [_setting(timing) for timing in report.rows[0].timings]
    return rows_grid("The same with images and texts decoded beforehand: models alone", names, report.rows, cells)


def streams(report: BenchReport) -> Grid | None:
    """Posts a second of every runtime in its own way; None where that was not measured."""
    own = report.own.streams
    if not own:
        return None

    def cells(row: Row) -> Iterable[str]:
        ways = row.streams or ()
        for stream in ways:
            rate = stream.posts_per_s
            yield f"{rate:.0f}" if len(stream.seconds) >= ENOUGH else f"{rate.value:.0f}"
        yield ways[0].how

    headings = [f"{_together(stream.batch)} [95 %]" for stream in own]
    title = f"Posts a second with {_threads(own[0].threads)}, asked for all at once, each runtime in its own way"
    grid = rows_grid(title, [*headings, "how"], report.rows, cells)
    return replace(grid, words=(0, len(headings) + 1))


def faster(report: BenchReport) -> Grid | None:
    """How many times as fast as each other variant the own one is, in every setting; None where it is alone."""
    own, others = report.own, [row for row in report.rows if not row.own]
    if not others:
        return None

    def cells(row: Row) -> Iterable[str]:
        for ours, theirs in zip(own.timings, row.timings, strict=True):
            yield _ratio(ours.raw_ms, theirs.raw_ms)
        if own.streams:
            ours_s, theirs_s = (_best(each).per_post_s for each in (own, row))
            yield _ratio(ours_s, theirs_s)

    names = [_setting(timing) for timing in own.timings]
    names += [f"{_threads(stream.threads)}, many at once" for stream in (own.streams or ())[:1]]
    title = f"How many times as fast {own.name} is, in pairs of rounds [95 %]"
    return rows_grid(title, names, others, cells)


def _ratio(ours: Rounds, theirs: Rounds) -> str:
    """Theirs over ours, with an interval if there are rounds enough to draw from."""
    ratio = repeat_ratio(ours, theirs)
    return f"{ratio:.2f}" if len(ours) >= ENOUGH else f"{ratio.value:.2f}"


def _best(row: Row) -> Stream:
    """The quickest of its streams."""
    return max(row.streams or (), key=lambda stream: stream.posts_per_s.value)


def _setting(timing: Timing) -> str:
    return f"{_threads(timing.threads)}, batch {timing.batch}"


def _threads(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _together(batch: int) -> str:
    return "one by one" if batch == 1 else f"in batches of {batch}"


def limit(report: BenchReport) -> Grid | None:
    """How near models come to what the machine's own matrix products and its memory would take for one example;
    None where no work was counted."""
    lines = [
        (row, (row.name, *_against_limits(row.work, peak, model_ms)))
        for row in report.rows
        if row.work is not None
        for peak in report.peaks
        if (model_ms := _one_example_ms(row, row.work, peak.threads)) is not None
    ]
    headings: tuple[str, ...] = ("", "threads", "tokens", "int8 GMAC", "fp32 GMAC", "weights MB", "model ms")
    headings += ("products ms", "reading ms", "limit", "reached", "one after the other", "Gop/s")
    emphasis = own_rows(row for row, _ in lines)
    cells = tuple(cells for _, cells in lines)
    return Grid("How near to the limit, one example", headings, cells, emphasis, page_only=2) if lines else None


def _one_example_ms(row: Row, work: Work, threads: int) -> float | None:
    """The model's time for one example with so many threads: of the headline it was taken for this very one."""
    if threads == row.timings[0].threads:
        return work.model_ms
    return next((t.model_p50 for t in row.timings if (t.threads, t.batch) == (threads, 1)), None)


def _against_limits(work: Work, peak: Peak, model_ms: float) -> Iterable[str]:
    """A line behind its name. The nearer limit is what would take longer: neither can be beaten while weights come
    from memory, even if one were hidden behind the other."""
    products_ms = peak.products_ms(work.low_bit_macs, work.float_macs)
    read_ms = peak.read_ms(work.weight_bytes)
    nearer = "memory" if read_ms is not None and read_ms > products_ms else "arithmetic"
    yield from (str(peak.threads), str(work.tokens))
    yield from (f"{macs / 1e9:.2f}" for macs in (work.low_bit_macs, work.float_macs))
    yield NONE if work.weight_bytes is None else f"{work.weight_bytes / 1e6:.1f}"
    yield from (f"{model_ms:.1f}", f"{products_ms:.1f}", figure(read_ms, ".1f"), nearer)
    yield f"{max(products_ms, read_ms or 0.0) / model_ms:.0%}"
    yield NONE if read_ms is None else f"{(products_ms + read_ms) / model_ms:.0%}"
    yield f"{2 * (work.low_bit_macs + work.float_macs) / model_ms / 1e6:.1f}"


def peaks(report: BenchReport) -> Grid | None:
    """What the machine itself reaches; None where it was not measured."""
    lines = tuple(
        (_shape(p), str(p.threads), f"{p.int8_gops:.1f}", f"{p.fp32_gops:.1f}", figure(p.read_gb_s, ".1f"))
        for p in report.peaks
    )
    headings = ("matrix product", "threads", "int8 Gop/s", "fp32 Gop/s", "reading GB/s")
    title = "The machine's peaks: its best matrix products in onnxruntime, and reads of memory"
    return Grid(title, headings, lines) if lines else None


def _shape(peak: Peak) -> str:
    return f"{peak.rows} x {peak.inner} x {peak.columns}"
