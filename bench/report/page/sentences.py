"""The sentences of a benchmark's page that a reader wants first: what to ship, and what to know before that."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.page.devices import Device, distinct_rows, reference
from bench.report.tables import verdicts
from bench.report.types import BenchReport, Row
from distill.scoring.estimate import Estimate


def ratio(slow: Estimate, fast: Estimate) -> Estimate:
    """slow / fast between the far ends of both intervals: wider than 95 %, and never flattering."""
    return Estimate(slow.value / fast.value, slow.low / fast.high, slow.high / fast.low)


def faster(report: BenchReport) -> list[Row]:
    """The variants that are faster than the own one, beyond both intervals."""
    return [row for row in report.rows if row.timings[0].p50.high < report.own.timings[0].p50.low]


def better(report: BenchReport) -> list[Row]:
    """Those of the faster variants that have no lower micro- and macro-F1."""
    own = report.own.quality
    return [
        row
        for row in faster(report)
        if row.quality.micro_f1.value >= own.micro_f1.value and row.quality.macro_f1.value >= own.macro_f1.value
    ]


def answer(report: BenchReport) -> str:
    """Which variant to ship, in one sentence."""
    own, other, noisy = report.own, reference(report), report.noise.verdict == "noisy"
    if other is None:
        return (
            f"{own.name} was measured alone: {own.timings[0].p50:.1f} ms a call (p50), micro-F1 "
            f"{own.quality.micro_f1:.3f}; measure it against another variant to know what that is worth."
        )
    lead = "Do not decide by these times, the machine was noisy. As measured, " if noisy else "Ship "
    best = min(better(report), key=lambda row: row.timings[0].p50.value, default=None)
    if best is not None:
        lead += f"{best.name} rather than {own.name}: it takes {best.timings[0].p50:.1f} ms at no lower F1, and "
    elif not noisy:
        lead += f"{own.name}: "
    return f"{lead}{_speed(own, other, named=noisy or best is not None)}, {_cost(own, other)}."


def _speed(own: Row, other: Row, named: bool) -> str:
    """The own variant's p50 beside the other's."""
    ours, theirs = own.timings[0].p50, other.timings[0].p50
    against = f"{other.name} ({ours.value:.1f} against {theirs.value:.1f} ms a call, p50"
    who = f"{own.name} is" if named else "it is"
    for times, how in ((ratio(theirs, ours), "times as fast as"), (ratio(ours, theirs), "times slower than")):
        if times.low > 1:
            return f"{who} {times.value:.1f} {how} {against}; at least {times.low:.1f} times)"
    return f"{who} as fast as {against}; their intervals overlap)"


def _cost(own: Row, other: Row) -> str:
    """What the own variant gives up in F1, or gains."""
    difference = own.difference_from(other.name)
    if difference is None:
        return _levels(own, other)
    change = difference.micro_f1
    lead = "no loss of F1 can be told from chance"
    if change.high < 0:
        lead = "it costs F1, beyond chance"
    elif change.low > 0:
        lead = "it gains F1, beyond chance"
    return f"and {lead}: micro-F1 {change:+.3f} on the same {own.quality.examples} examples"


def _levels(own: Row, other: Row) -> str:
    difference = own.difference_from(other.name)
    if difference is not None:
        return f"micro-F1 {difference.micro_f1:+.3f}"
    return f"at micro-F1 {own.quality.micro_f1:.3f} where that has {other.quality.micro_f1:.3f}"


def cautions(report: BenchReport) -> list[str]:
    """What else to know before shipping: how steady the machine was, who is faster, and the predictor to beat."""
    own, constant, noise = report.own, report.constant, report.noise
    repeat = f"The same variant in a second process took {noise.ratio:.3f} times as long"
    lines = [f"{repeat}: the machine was {noise.verdict}."]
    slowest = max(report.rows, key=lambda row: row.timings[0].p50.value)
    if slowest not in (own, reference(report)):
        lines.append(f"Beside the slowest, {_speed(own, slowest, named=True)}, {_levels(own, slowest)}.")
    for row in faster(report):
        if row not in better(report):
            p50, f1 = row.timings[0].p50, row.quality.micro_f1
            lines.append(f"{row.name} is faster still: {p50:.1f} ms at micro-F1 {f1:.3f}.")
    lines += verdicts(report)
    q = own.quality
    if constant.micro_f1 >= q.micro_f1.value:
        lines.append(
            f"Always answering {', '.join(constant.names)} has micro-F1 {constant.micro_f1:.3f}, no less than "
            f"{own.name}'s {q.micro_f1.value:.3f}; in macro-F1 it has {constant.macro_f1:.3f} against "
            f"{q.macro_f1.value:.3f}."
        )
    return lines


def disagreements(group: Sequence[Device]) -> list[str]:
    """A processor may round int8 otherwise: what is shown once must say where it is not the same."""
    lines = []
    for variant in distinct_rows(group):
        rows = [(device.title, row) for device in group for row in device.report.rows if row.name == variant.name]
        if len({row.quality.micro_f1.value for _, row in rows}) > 1:
            f1s = ", ".join(f"{row.quality.micro_f1.value:.4f} on {title}" for title, row in rows)
            lines.append(f"{variant.name} does not decide alike everywhere, micro-F1 {f1s}; the first is shown.")
    return lines
