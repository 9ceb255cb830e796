"""Rules that say what counts as worse, for CI: `f1<-0.01,p50>+10%`, over the metrics of the registry."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from bench.report.columns import Metric, find_metric, metric_names
from distill.core.errors import BenchError
from distill.core.untrusted import short_repr

EXAMPLE = "write METRIC, < or >, and a change, such as f1<-0.01 or p50>+10%"
RULE = re.compile(r"([^\s<>]+)\s*([<>])\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(%?)")


@dataclass(frozen=True)
class Rule:
    """A failure: new - old is below (else above) `bound`, in the metric's unit, or as a share of old."""

    text: str
    metric: Metric
    below: bool
    bound: float
    relative: bool


def parse(text: str) -> tuple[Rule, ...]:
    """Rules from "f1<-0.01,p50>+10%". Raises BenchError for anything else."""
    return tuple(_rule(piece.strip()) for piece in text.split(","))


def _rule(piece: str) -> Rule:
    match = RULE.fullmatch(piece)
    if match is None:
        raise BenchError(f"{short_repr(piece)} is not a rule: {EXAMPLE}")
    name, sign, number, percent = match.groups()
    metric = find_metric(name)
    if metric is None:
        raise BenchError(
            f"{short_repr(piece)}: unknown metric {short_repr(name)}; expected one of {', '.join(metric_names())}"
        )
    bound = float(number) / (100 if percent else 1)
    if not math.isfinite(bound):
        raise BenchError(f"{short_repr(piece)}: {number} is too large; {EXAMPLE}")
    if metric.change and (sign == "<" or percent or bound < 0):
        raise BenchError(f"{short_repr(piece)}: {name} can only be too many, as a share of all; write {name}>0.02")
    # Who thinks in points writes f1<-1: a gate that nothing can fail must not look like one.
    if not metric.unit and not percent and abs(bound) >= 1:
        raise BenchError(f"{short_repr(piece)}: {name} is in 0..1, where nothing differs by {number}; {EXAMPLE}")
    return Rule(piece, metric, sign == "<", bound, bool(percent))
