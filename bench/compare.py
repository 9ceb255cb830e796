"""Two benchmark reports side by side, metric by metric, and what became of the rules on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.report.columns import REGISTRY, Draws, Metric
from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.text import NONE
from bench.report.types import BenchReport, Row, to_targets
from bench.rules import Rule
from distill.core.errors import BenchError
from distill.core.output.terminal import output
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Targets

BRIEF = ("micro_f1", "p50")  # what is compared of the variants beside the own one
SLACK = 1e-9  # 0.52 - 0.53 is a little below -0.01 in binary: the last bits must not break a rule


@dataclass(frozen=True)
class Line:
    """A metric of one variant ("" for the own Bundle) in both reports, in its unit; None for what a report lacks.

    `difference` is new - old in that unit, `relative` the same as a share of old; unbounded without draws.
    `apart` says of what the two figures are, where they cannot be compared.
    """

    variant: str
    metric: Metric
    old: float | None
    new: float | None
    difference: Estimate | None
    relative: Estimate | None
    apart: Literal["", "other examples", "other machine"]

    @property
    def trend(self) -> Literal["", "better", "worse"]:
        """Which way the metric went, where its whole interval went there."""
        change = self.difference
        if change is None or not change.bounded or change.low <= 0 <= change.high or self.metric.better is None:
            return ""
        return "better" if (change.low > 0) == (self.metric.better == "higher") else "worse"


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
    """Every metric of the own Bundle, then some of the variants that both reports name; a verdict a rule.

    `warnings` say what cannot be compared, `notes` what else differs."""

    title: str
    lines: tuple[Line, ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def broken(self) -> bool:
        """Whether any rule is."""
        return any(verdict.broken for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Every line and verdict, with null for a figure or an interval that there is none of."""
        verdicts = [
            {"rule": v.rule.text, "variant": v.line.variant, "change": _interval(v.change)}
            | {"broken": v.broken, "caveat": v.caveat}
            for v in self.verdicts
        ]
        return {
            "title": self.title,
            "lines": [_line_to_json(line) for line in self.lines],
            "verdicts": verdicts,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def _line_to_json(line: Line) -> dict[str, Any]:
    return {
        "variant": line.variant,
        "metric": line.metric.name,
        "unit": line.metric.unit,
        "old": line.old,
        "new": line.new,
        "difference": _interval(line.difference),
        "relative": _interval(line.relative),
        "trend": line.trend,
        "apart": line.apart,
    }


def _interval(value: Estimate | None) -> dict[str, float | None] | None:
    if value is None or not math.isfinite(value.value):
        return None
    low, high = (value.low, value.high) if value.bounded else (None, None)
    return {"value": value.value, "low": low, "high": high}


def compare(new: BenchReport, old: BenchReport, rules: Sequence[Rule]) -> Comparison:
    """Judge the own Bundle by the rules. Raises BenchError for a rule on figures that cannot be compared."""
    machines, examples = _machines_apart(new, old), _examples_apart(new, old)
    for rule in rules:
        if examples and rule.metric.depends_on == "examples":
            raise BenchError(f"{rule.text}: {examples}; run distill bench with the same --data and --split")
        if machines and rule.metric.depends_on == "machine":
            raise BenchError(f"{rule.text}: {machines}; measure both alike on one machine, or drop the rule")
    gold = None if examples else to_targets(new)
    own = {name: _line("", new.own, old.own, metric, gold, bool(machines)) for name, metric in REGISTRY.items()}
    before = {row.name: row for row in old.rows if not row.own}
    others = [
        _line(row.name, row, before[row.name], REGISTRY[name], gold, bool(machines))
        for row in new.rows
        if not row.own and row.name in before
        for name in BRIEF
    ]
    noisy = " and ".join(name for name, report in (("new", new), ("old", old)) if report.noise.verdict == "noisy")
    return Comparison(
        title=f"{new.own.name} ({new.conditions.started}) against {old.own.name} ({old.conditions.started})",
        lines=(*own.values(), *others),
        verdicts=tuple(_verdict(rule, own[rule.metric.name], noisy) for rule in rules),
        warnings=tuple(part for part in (machines, examples) if part),
        notes=_notes(new, old),
    )


def _machines_apart(new: BenchReport, old: BenchReport) -> str:
    parts = (
        ("CPU", new.machine.cpu, old.machine.cpu),
        (f"int8 target of {new.machine.cpu}", new.machine.int8, old.machine.int8),
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
    """What else differs, and which report is noisy."""
    names = ("split", "calls", "calls_a_round", "python", "distill", "spinning")
    parts = [(name, getattr(old.conditions, name), getattr(new.conditions, name)) for name in names]
    parts += [(name, getattr(old.machine, name), getattr(new.machine, name)) for name in ("granted", "governor")]
    parts.append(("thresholds", old.own.thresholds, new.own.thresholds))
    was, now = old.conditions.packages, new.conditions.packages
    parts += [(name, was.get(name, "absent"), now.get(name, "absent")) for name in sorted({*was, *now})]
    notes = [f"{name}: {before} -> {after}" for name, before, after in parts if before != after]
    for name, report in (("new", new), ("old", old)):
        if report.noise.verdict == "noisy":
            notes.append(f"the {name} report is noisy: {'; '.join(report.noise.reasons)}")
    return tuple(notes)


def _line(variant: str, new: Row, old: Row, metric: Metric, gold: Targets | None, machines: bool) -> Line:
    """`gold` is None where the examples differ, `machines` says that the machines do."""
    apart: Literal["", "other examples", "other machine"] = ""
    if metric.depends_on == "examples" and gold is None:
        apart = "other examples"
    elif metric.depends_on == "machine" and machines:
        apart = "other machine"
    if metric.change:
        change = None if gold is None else metric.change(new, old, gold.shape[1])
        return Line(variant, metric, None, None, change, None, apart)
    now, was = metric.value(new), metric.value(old)
    if now is None or was is None:
        return Line(variant, metric, was, now, None, None, apart)
    drawn = _draws(new, old, metric, gold)
    difference = _estimate(now - was, None if drawn is None else drawn[0] - drawn[1])
    if was == 0:
        return Line(variant, metric, was, now, difference, None, apart)
    # A drawn F1 may be 0 where the whole one is not, and nothing is a share of that.
    shares = None if drawn is None or (drawn[1] == 0).any() else drawn[0] / drawn[1] - 1
    return Line(variant, metric, was, now, difference, _estimate(now / was - 1, shares), apart)


def _draws(new: Row, old: Row, metric: Metric, gold: Targets | None) -> tuple[Draws, Draws] | None:
    """Bootstrap values of both rows: of the same drawn examples, or each over its own rounds."""
    if metric.draws is None:
        return None
    seeds = (0, 0) if metric.depends_on == "examples" else (0, 1)
    now, was = (metric.draws(row, gold, np.random.default_rng(s)) for row, s in zip((new, old), seeds, strict=True))
    return None if now is None or was is None else (now, was)


def _estimate(value: float, draws: Draws | None) -> Estimate:
    return Estimate.unbounded(value) if draws is None else Estimate.of(value, draws)


def _verdict(rule: Rule, line: Line, noisy: str) -> Verdict:
    """`noisy` names the reports that are."""
    change, metric = line.relative if rule.relative else line.difference, rule.metric
    if change is None and (line.old is None or line.new is None):
        which = "new" if line.new is None else "old"
        raise BenchError(f"{rule.text}: no {metric.title} in the {which} report: {metric.missing}")
    if change is None or not math.isfinite(change.value):
        raise BenchError(f"{rule.text}: {line.old} -> {line.new} has no relative change; write the rule without %")
    beyond = rule.bound - change.value if rule.below else change.value - rule.bound
    caveat = ""
    if beyond > SLACK and metric.draws and metric.depends_on == "machine":
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
    rule, line, metric = verdict.rule, verdict.line, verdict.rule.metric
    both = "" if metric.change else f" {_figure(metric, line.old)} -> {_figure(metric, line.new)} {metric.unit}"
    change = _change(metric, verdict.change, rule.relative, rule.bound)
    return f"{rule.text} is broken: {metric.title}{both.rstrip()}{',' * bool(both)} {change}{verdict.caveat}"


def _figure(metric: Metric, value: float | None) -> str:
    return NONE if value is None else f"{value:.{metric.digits + metric.finer}f}"


def _change(metric: Metric, change: Estimate | None, relative: bool, bound: float | None = None) -> str:
    """A change with its interval, and digits enough to tell it from the bound that it breaks."""
    if change is None:
        return NONE
    digits, kind, scale = (1, "%", 100) if relative else (metric.digits + metric.finer, "f", 1)
    while bound is not None and digits < 9 and round((change.value - bound) * scale, digits) == 0:
        digits += 1
    return f"{change:{'' if metric.change else '+'}.{digits}{kind}}"


def to_grid(comparison: Comparison) -> Grid:
    """The lines as a table, but for metrics that neither report has."""
    rows: list[tuple[str, ...]] = []
    emphasis: list[Emphasis] = []
    for line in comparison.lines:
        metric, verdicts = line.metric, [each for each in comparison.verdicts if each.line is line]
        if (line.old, line.new, line.difference) == (None, None, None) and not line.apart:
            continue
        rules = [f"{each.rule.text} {'is broken' if each.broken else 'holds'}" for each in verdicts]
        share = line.relative and Estimate.unbounded(line.relative.value)  # one interval fills a line
        figures = (_figure(metric, line.old), _figure(metric, line.new), _change(metric, line.difference, False))
        words = ", ".join(rules) or line.apart or line.trend
        rows.append((f"{line.variant} {metric.label}".strip(), *figures, _change(metric, share, True), words))
        emphasis.append("bad" if any(each.broken for each in verdicts) else "weak" if line.apart else "")
    headings = ("", "old", "new", "difference [95 %]", "relative", "")
    return Grid(comparison.title, headings, tuple(rows), tuple(emphasis), words=(0, 5))


def show(comparison: Comparison) -> None:
    """Print the table, and below it what cannot be compared and what else differs."""
    for table in to_grid(comparison).to_rich(output.width):
        output.print(table)
    for text in (*(f"warning: {text}" for text in comparison.warnings), *comparison.notes):
        output.print(text, style="dim")
