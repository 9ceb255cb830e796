"""A report's figures as text, and the sentences that a reader wants first. Knows reports, no markup."""

from __future__ import annotations

from bench.report.page.cast import compared
from bench.report.page.style import STAGES
from bench.report.types import BenchReport, Row, Timing
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Quality

NONE = "–"
TOO_FEW = "too few calls"


def milliseconds(value: float) -> str:
    """Three or four figures: 0.042, 4.21, 14.0, 1613."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:.{digits}f}"


def megabytes(value: float) -> str:
    """Bytes in 10^6."""
    return f"{value / 1e6:.1f}" if abs(value) < 1e8 else f"{value / 1e6:.0f}"


def time(estimate: Estimate | None) -> str:
    """Milliseconds with their interval, or why there are none."""
    if estimate is None:
        return TOO_FEW
    low, high = milliseconds(estimate.low), milliseconds(estimate.high)
    return f"{milliseconds(estimate.value)} [{low}, {high}]"


def micro(quality: Quality) -> str:
    """Micro-F1 with its interval."""
    return f"{quality.micro_f1:.3f}"


def macro(quality: Quality) -> str:
    """Macro-F1 with its interval."""
    return f"{quality.macro_f1:.3f}"


def signed(found: Estimate) -> str:
    """A difference of F1 with its interval."""
    return f"{minus(f'{found.value:+.3f}')} [{minus(f'{found.low:+.3f}')}, {minus(f'{found.high:+.3f}')}]"


def stage_names(report: BenchReport) -> list[str]:
    """Of all variants, in the order of a call."""
    order = [colour.name for colour in STAGES]
    names = {part.name for row in report.rows for part in row.stages}
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def minus(figure: str) -> str:
    """With a real minus sign."""
    return figure.replace("-", "\N{MINUS SIGN}")


def ratio(slow: Estimate, fast: Estimate) -> Estimate:
    """slow / fast between the far ends of both intervals: wider than 95 %, and never flattering."""
    return Estimate(slow.value / fast.value, slow.low / fast.high, slow.high / fast.low)


def throughput(timing: Timing) -> Estimate:
    """Examples a second at the median call."""
    p50 = timing.p50
    return Estimate(*(1000 * timing.batch / ms for ms in (p50.value, p50.high, p50.low)))


def beaters(report: BenchReport) -> list[Row]:
    """The variants that are faster than the own one, beyond both intervals, at no lower micro- and macro-F1."""
    own = report.own
    return [
        row
        for row in report.rows
        if row.timings[0].p50.high < own.timings[0].p50.low
        and row.quality.micro_f1.value >= own.quality.micro_f1.value
        and row.quality.macro_f1.value >= own.quality.macro_f1.value
    ]


def answer(report: BenchReport) -> str:
    """Which variant to ship, in one sentence."""
    own, other = report.own, compared(report)
    p50 = own.timings[0].p50
    if other is None:
        return (
            f"{own.name} was measured alone: {time(p50)} ms a call (p50), micro-F1 {micro(own.quality)}; measure "
            "it against another variant to know what that is worth."
        )
    noisy, better = report.noise.verdict == "noisy", beaters(report)
    if better:
        best = min(better, key=lambda row: row.timings[0].p50.value)
        lead = f"{best.name} rather than {own.name}: it takes {time(best.timings[0].p50)} ms at no lower F1, and"
    else:
        lead = "" if noisy else f"{own.name}:"
    lead = f"Do not decide by these times, the machine was noisy. As measured, {lead}" if noisy else f"Ship {lead}"
    return f"{lead.strip()} {_speed(own, other, noisy or bool(better))}, {_cost(own, other)}."


def _speed(own: Row, other: Row, named: bool) -> str:
    """The own variant's p50 beside the other's."""
    mine, theirs = own.timings[0].p50, other.timings[0].p50
    against = f"{other.name} ({milliseconds(mine.value)} against {milliseconds(theirs.value)} ms a call, p50"
    who = f"{own.name} is" if named else "it is"
    found = ratio(theirs, mine)
    if found.low > 1:
        return f"{who} {found.value:.1f} times as fast as {against}; at least {found.low:.1f} times)"
    found = ratio(mine, theirs)
    if found.low > 1:
        return f"{who} {found.value:.1f} times slower than {against}; at least {found.low:.1f} times)"
    return f"{who} as fast as {against}; their intervals overlap)"


def _cost(own: Row, other: Row) -> str:
    """What the own variant gives up in F1, or gains."""
    found = own.difference_from(other.name)
    if found is None:
        return _levels(own, other)
    told = f"micro-F1 {signed(found.micro_f1)} on the same {own.quality.examples} examples"
    if found.micro_f1.high < 0:
        return f"and it costs F1, beyond chance: {told}"
    if found.micro_f1.low > 0:
        return f"and it gains F1, beyond chance: {told}"
    return f"and no loss of F1 can be told from chance: {told}"


def _levels(own: Row, other: Row) -> str:
    found = own.difference_from(other.name)
    if found is not None:
        return f"micro-F1 {signed(found.micro_f1)}"
    return f"at micro-F1 {micro(own.quality)} where that has {micro(other.quality)}"


def cautions(report: BenchReport) -> list[str]:
    """What else to know before shipping: how steady the machine was, who is faster, and the predictor to beat."""
    own, constant, noise = report.own, report.constant, report.noise
    moved = f"{noise.ratio.value:.3f} [{noise.ratio.low:.3f}, {noise.ratio.high:.3f}]"
    said = [f"The same variant in a second process took {moved} times as long: the machine was {noise.verdict}."]
    slowest = max(report.rows, key=lambda row: row.timings[0].p50.value)
    if slowest not in (own, compared(report)):
        said.append(f"Beside the slowest, {_speed(own, slowest, named=True)}, {_levels(own, slowest)}.")
    faster = [row for row in report.rows if row.timings[0].p50.high < own.timings[0].p50.low]
    for row in faster:
        if row not in beaters(report):
            said.append(
                f"{row.name} is faster still: {time(row.timings[0].p50)} ms at micro-F1 {micro(row.quality)}."
            )
    if constant.micro_f1 >= own.quality.micro_f1.value:
        said.append(
            f"Always answering {', '.join(constant.names)} has micro-F1 {constant.micro_f1:.3f}, no less than "
            f"{own.name}'s {own.quality.micro_f1.value:.3f}; in macro-F1 it has {constant.macro_f1:.3f} against "
            f"{own.quality.macro_f1.value:.3f}."
        )
    return said
