"""Two benchmark reports side by side, judged by rules. Reads figures, measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from bench.quality.judge import from_indices
from bench.report.types import BenchReport, Row
from bench.rules import METRICS, SHARES, Metric, Rule
from distill.core.errors import BenchError
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Targets, bootstrap_draws, weighted_f1

Draws = NDArray[np.float64]

TIMES = ("p50", "p90", "p99", "cold")  # these and the memory depend on the machine
TITLES = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "micro_ap": "micro-AP", "ece": "ECE"}
UNITS = {"p50": "ms", "p90": "ms", "p99": "ms", "cold": "s", "peak": "MB", "steady": "MB", "disk": "MB"}
DRAWS = 1000
ENOUGH = 5  # rounds or starts; an interval drawn from fewer is far too narrow
SLACK = 1e-9  # 0.52 - 0.53 is a little below -0.01 in binary: the last bits must not break a rule


@dataclass(frozen=True)
class Line:
    """A metric of one variant ("" for the own Bundle) in 0..1, ms, s or MB; None for what a report lacks.

    `difference` is new - old in that unit, `relative` the same as a share of old; unbounded without draws.

    Flips have a `difference` alone. `apart` says of what the two figures are, where they cannot be compared.
    """

    variant: str
    metric: Metric
    old: float | None
    new: float | None
    difference: Estimate | None
    relative: Estimate | None
    apart: Literal["", "other examples", "other machine"]


@dataclass(frozen=True)
class Verdict:
    """What became of a rule; `caveat` says why a broken one may be the machine's noise, or is empty."""

    rule: Rule
    line: Line
    change: Estimate
    broken: bool
    caveat: str


@dataclass(frozen=True)
class Comparison:
    """Every metric of the own Bundle, then some of the variants that both reports name; a verdict a rule."""

    title: str
    lines: tuple[Line, ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def broken(self) -> bool:
        """Whether any rule is."""
        return any(verdict.broken for verdict in self.verdicts)


def compare(new: BenchReport, old: BenchReport, rules: Sequence[Rule]) -> Comparison:
    """Judge the own Bundle by the rules. Raises BenchError for a rule on figures that cannot be compared."""
    machines, examples = _machines_apart(new, old), _examples_apart(new, old)
    for rule in rules:
        if rule.metric in SHARES and examples:
            raise BenchError(f"{rule.text}: {examples}; run distill bench with the same --data and --split")
        if rule.metric not in (*SHARES, "disk") and machines:
            raise BenchError(f"{rule.text}: {machines}; measure both alike on one machine, or drop the rule")
    gold = None if examples else from_indices(new.gold, len(new.labels)).astype(np.float32)
    before = {row.name: row for row in old.rows if not row.own}
    lines = [_line("", new.own, old.own, metric, gold, bool(machines)) for metric in METRICS]
    kept: tuple[Metric, ...] = ("micro_f1", "p50")
    for row in new.rows:
        if not row.own and row.name in before:
            lines += [_line(row.name, row, before[row.name], metric, gold, bool(machines)) for metric in kept]
    noisy = " and ".join(name for name, one in (("new", new), ("old", old)) if one.noise.verdict == "noisy")
    return Comparison(
        title=f"{new.own.name} ({new.conditions.started}) against {old.own.name} ({old.conditions.started})",
        lines=tuple(lines),
        verdicts=tuple(_verdict(rule, lines[METRICS.index(rule.metric)], noisy) for rule in rules),
        warnings=tuple(part for part in (machines, examples) if part),
        notes=_notes(new, old),
    )


def _machines_apart(new: BenchReport, old: BenchReport) -> str:
    parts = (
        ("CPU", new.machine.cpu, old.machine.cpu),
        (f"int8 target of {new.machine.cpu}", new.machine.int8_target, old.machine.int8_target),
        ("threads", new.own.timings[0].threads, old.own.timings[0].threads),
        ("batch", new.own.timings[0].batch, old.own.timings[0].batch),
    )
    differing = [f"{name} {now} against {was}" for name, now, was in parts if now != was]
    return f"times and memory cannot be compared: {', '.join(differing)}" if differing else ""


def _examples_apart(new: BenchReport, old: BenchReport) -> str:
    if new.labels != old.labels:
        return f"the reports have other labels ({len(new.labels)} against {len(old.labels)})"
    now, was = new.conditions, old.conditions
    if now.examples_sha256 != was.examples_sha256:
        both = f"{now.examples} of {now.split} against {was.examples} of {was.split}"
        return f"the reports are of different examples ({both})"
    return "" if new.gold == old.gold else "the reports have other gold labels for the same examples"


def _notes(new: BenchReport, old: BenchReport) -> tuple[str, ...]:
    """What else differs or should be known."""
    names = ("split", "calls", "calls_a_round", "python", "distill", "spinning")
    parts = [(name, getattr(old.conditions, name), getattr(new.conditions, name)) for name in names]
    parts += [(name, getattr(old.machine, name), getattr(new.machine, name)) for name in ("granted", "governor")]
    parts.append(("thresholds", old.own.thresholds, new.own.thresholds))
    was, now = old.conditions.packages, new.conditions.packages
    parts += [(name, was.get(name, "absent"), now.get(name, "absent")) for name in sorted({*was, *now})]
    notes = [f"{name}: {before} -> {after}" for name, before, after in parts if before != after]
    for name, one in (("new", new), ("old", old)):
        if one.noise.verdict == "noisy":
            notes.append(f"the {name} report is noisy: {'; '.join(one.noise.reasons)}")
    return tuple(notes)


def _line(variant: str, new: Row, old: Row, metric: Metric, gold: Targets | None, machines: bool) -> Line:
    """`gold` is None where the examples differ, `machines` says that the machines do."""
    apart: Literal["", "other examples", "other machine"] = ""
    if metric in SHARES:
        apart = "other examples" if gold is None else ""
    elif machines and metric != "disk":
        apart = "other machine"
    if metric == "flips":
        flips = None if gold is None else _flips(new, old, gold.shape[1])
        return Line(variant, metric, None, None, flips, None, apart)
    now, was = _value(new, metric), _value(old, metric)
    if now is None or was is None:
        return Line(variant, metric, was, now, None, None, apart)
    drawn = _drawn(new, old, metric, gold)
    difference = _change_of(now - was, None if drawn is None else drawn[0] - drawn[1])
    if was == 0:
        return Line(variant, metric, was, now, difference, None, apart)
    # A drawn F1 may be 0 where the whole one is not, and nothing is a share of that.
    shares = None if drawn is None or (drawn[1] == 0).any() else drawn[0] / drawn[1] - 1
    return Line(variant, metric, was, now, difference, _change_of(now / was - 1, shares), apart)


def _change_of(value: float, draws: Draws | None) -> Estimate:
    return Estimate.unbounded(value) if draws is None else Estimate.of(value, draws)


def _value(row: Row, metric: Metric) -> float | None:
    quality, timing, memory = row.quality, row.timings[0], row.memory
    if metric == "p90":
        return timing.p90.value if timing.p90 else None
    if metric == "p99":
        return timing.p99.value if timing.p99 else None
    known = {"micro_f1": quality.micro_f1.value, "macro_f1": quality.macro_f1.value, "micro_ap": quality.micro_ap}
    known |= {"ece": quality.ece, "p50": timing.p50.value, "cold": row.cold.total_ms / 1e3}
    known |= {
        "peak": memory.peak_bytes / 1e6,
        "steady": memory.steady.rss_bytes / 1e6,
        "disk": row.size_bytes / 1e6,
    }
    return known[metric]


def _drawn(new: Row, old: Row, metric: Metric, gold: Targets | None) -> tuple[Draws, Draws] | None:
    """Bootstrap values (DRAWS,) of both: F1 over the same drawn examples, times over each one's own rounds."""
    generator = np.random.default_rng(0)
    if metric in ("micro_f1", "macro_f1") and gold is not None:
        weights = bootstrap_draws(len(gold), DRAWS, generator)
        both = [weighted_f1(gold, from_indices(row.decided, gold.shape[1]), weights) for row in (new, old)]
        return (both[0][0], both[1][0]) if metric == "micro_f1" else (both[0][1], both[1][1])
    if metric not in TIMES:
        return None
    now, was = _rounds(new, metric), _rounds(old, metric)
    if min(len(now), len(was)) < ENOUGH:
        return None
    percent = {"p90": 90, "p99": 99}.get(metric, 50)
    return _percentiles(now, percent, generator), _percentiles(was, percent, generator)


def _rounds(row: Row, metric: Metric) -> tuple[tuple[float, ...], ...]:
    """What is drawn whole: a round's calls in ms, or one start in s."""
    return tuple((ms / 1e3,) for ms in row.cold.starts_ms) if metric == "cold" else row.timings[0].raw_ms


def _percentiles(rounds: Sequence[tuple[float, ...]], percent: int, generator: np.random.Generator) -> Draws:
    parts = [np.asarray(part) for part in rounds]
    picks = generator.integers(len(parts), size=(DRAWS, len(parts)))
    return np.array([np.percentile(np.concatenate([parts[i] for i in pick]), percent) for pick in picks])


def _flips(new: Row, old: Row, labels: int) -> Estimate:
    """Share of decisions that are others, its interval over examples."""
    each = (from_indices(new.decided, labels) != from_indices(old.decided, labels)).mean(1)
    drawn = bootstrap_draws(len(each), DRAWS, np.random.default_rng(0)) @ each / len(each)
    return Estimate.of(each.mean(), drawn)


def _verdict(rule: Rule, line: Line, noisy: str) -> Verdict:
    """`noisy` names the reports that are."""
    change = line.relative if rule.relative else line.difference
    if change is None and line.metric in ("p90", "p99") and (line.old is None or line.new is None):
        which = "new" if line.new is None else "old"
        raise BenchError(
            f"{rule.text}: too few calls for a {line.metric} in the {which} report; give it more --calls"
        )
    if change is None or not math.isfinite(change.value):
        raise BenchError(f"{rule.text}: {line.old} -> {line.new} has no relative change; write the rule without %")
    beyond = rule.bound - change.value if rule.below else change.value - rule.bound
    caveat = ""
    if beyond > SLACK and line.metric in TIMES:
        if noisy:
            caveat = f"; noisy ({noisy}): perhaps within the noise; measure again"
        elif not change.bounded:
            caveat = "; too few rounds to tell it from the noise; measure again with more"
        elif change.low <= 0 <= change.high:
            caveat = "; within the noise; measure again"
    return Verdict(rule, line, change, beyond > SLACK, caveat)


def sentences(comparison: Comparison) -> list[str]:
    """A line a broken rule, or one that all hold; none without rules."""
    broken = [_sentence(verdict) for verdict in comparison.verdicts if verdict.broken]
    if broken or not comparison.verdicts:
        return broken
    return [f"all {len(comparison.verdicts)} rules hold" if len(comparison.verdicts) > 1 else "the rule holds"]


def _sentence(verdict: Verdict) -> str:
    rule, line = verdict.rule, verdict.line
    unit = f" {UNITS[line.metric]}" if line.metric in UNITS else ""
    both = "" if line.metric == "flips" else f" {_figure(line, line.old)} -> {_figure(line, line.new)}{unit},"
    change = _change(line, verdict.change, rule.relative, rule.bound)
    return f"{rule.text} is broken: {TITLES.get(line.metric, line.metric)}{both} {change}{verdict.caveat}"


def _digits(line: Line) -> int:
    return 3 if line.metric in SHARES else 1 if UNITS[line.metric] == "MB" else 2


def _figure(line: Line, value: float | None) -> str:
    return "–" if value is None else f"{value:.{_digits(line)}f}"


def _change(line: Line, change: Estimate | None, relative: bool, bound: float | None = None) -> str:
    """With its interval, and digits enough to tell it from the bound that it breaks."""
    if change is None:
        return "–"
    scale, digits, percent = (100, 1, " %") if relative else (1, _digits(line), "")
    while bound is not None and digits < 9 and round((change.value - bound) * scale, digits) == 0:
        digits += 1
    sign = "" if line.metric == "flips" else "+"
    scaled = Estimate(scale * change.value, scale * change.low, scale * change.high)
    value, _, ends = f"{scaled:{sign}.{digits}f}".partition(" ")
    return f"{value}{percent} {ends}".rstrip()


def to_table(comparison: Comparison) -> Table:
    """For the terminal."""
    caption = [*(f"warning: {text}" for text in comparison.warnings), *comparison.notes]
    table = Table(title=escape(comparison.title), caption=escape("\n".join(caption)))
    table.title_justify = table.caption_justify = "left"
    table.add_column("")
    for name in ("old", "new", "difference [95 %]", "relative"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rule")
    for line in comparison.lines:
        verdicts = [one for one in comparison.verdicts if one.line is line]
        words = [f"{one.rule.text} {'is broken' if one.broken else 'holds'}" for one in verdicts]
        figures = (_figure(line, line.old), _figure(line, line.new))
        share = (
            None if line.relative is None else Estimate.unbounded(line.relative.value)
        )  # one interval fills a line
        changes = (_change(line, line.difference, False), _change(line, share, True))
        name = " ".join((line.variant, TITLES.get(line.metric, line.metric), UNITS.get(line.metric, ""))).strip()
        style = "red" if any(one.broken for one in verdicts) else "dim" if line.apart else None
        table.add_row(escape(name), *figures, *changes, escape(", ".join(words) or line.apart), style=style)
    return table
