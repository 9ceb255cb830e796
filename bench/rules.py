"""Rules on what counts as worse, for CI: `f1<-0.01,p50>+10%`. Knows the names of figures, reads no report."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from distill.core.errors import BenchError

Metric = Literal[
    "micro_f1", "macro_f1", "micro_ap", "ece", "flips", "p50", "p90", "p99", "cold", "peak", "steady", "disk"
]

METRICS: tuple[Metric, ...] = get_args(Metric)
SHARES = ("micro_f1", "macro_f1", "micro_ap", "ece", "flips")  # in 0..1, over the examples
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
        raise BenchError(f"{piece!r} is not a rule: {EXAMPLE}")
    name, sign, number, percent = match.groups()
    metric = next((known for known in METRICS if known == ("micro_f1" if name == "f1" else name)), None)
    if metric is None:
        raise BenchError(f"{piece!r}: unknown metric {name!r}; known are f1, {', '.join(METRICS)}")
    bound = float(number) / (100 if percent else 1)
    if not math.isfinite(bound):
        raise BenchError(f"{piece!r}: {number} is too large; {EXAMPLE}")
    if metric == "flips" and (sign == "<" or percent or bound < 0):
        raise BenchError(f"{piece!r}: flips can only be too many, as a share of all decisions; write flips>0.02")
    # Who thinks in points writes f1<-1: a gate that nothing can fail must not look like one.
    if metric in SHARES and not percent and abs(bound) >= 1:
        raise BenchError(f"{piece!r}: {name} is in 0..1, where nothing differs by {number}; {EXAMPLE}")
    return Rule(piece, metric, sign == "<", bound, bool(percent))
