"""Did distillation help? Knows decisions of both arms, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from distill.metrics import Decisions, Interval, Probabilities, Targets, f1_from_counts
from distill.recipe import Objective
from distill.terminal import interval, note, output
from distill.thresholds import cross_fitted

MARGIN = 0.01  # of F1: a gain below it is not worth a teacher
ROUNDS = 2000

Word = Literal["BEATS", "NO BETTER", "INCONCLUSIVE"]
WORDING = {
    "BEATS": "BEATS its control",
    "NO BETTER": "is NO BETTER than its control",
    "INCONCLUSIVE": "against its control is INCONCLUSIVE",
}


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % bootstrap interval over examples and seeds."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Arm:
    """F1 of one arm's decisions, the mean over its seeds."""

    micro_f1: Figure
    macro_f1: Figure


@dataclass(frozen=True)
class Verdict:
    """The student against its control, and both against the teacher, on the same rows.

    `gain` holds taught minus control in micro-F1, macro-F1 and their mean, "balanced"; `retention` taught over
    teacher. `word` judges the gain in `objective`: BEATS when its interval lies above 0, NO BETTER when it lies
    below MARGIN, INCONCLUSIVE when the data cannot tell.
    """

    word: Word
    objective: Objective
    judged_on: str
    examples: int
    seeds: tuple[int, ...]
    teacher: Arm
    taught: Arm
    control: Arm
    gain: dict[str, Figure]
    retention: dict[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """One line for a terminal, a report or a card."""
        gain, kept = self.gain[self.objective], self.retention["micro"]
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        return (
            f"distillation {WORDING[self.word]}: {self.objective} F1 {gain.value:+.3f} "
            f"[{gain.interval.low:+.3f}, {gain.interval.high:+.3f}] on {self.judged_on} ({self.examples} examples, "
            f"{seeds}); the student keeps {kept.value:.1%} [{kept.interval.low:.0%}, {kept.interval.high:.0%}] of "
            "the teacher's micro-F1"
        )


def judge(
    targets: Targets,
    teacher: Sequence[Probabilities],
    taught: Sequence[Probabilities],
    control: Sequence[Probabilities],
    seeds: Sequence[int],
    objective: Objective,
    judged_on: str,
) -> Verdict:
    """Decide each model's outputs (N, L) with thresholds cross-fitted on the same rows, and compare.

    `taught` and `control` hold one array a seed, in the same order; `teacher` holds one for all, or as many.
    The bootstrap draws examples, and seeds where there are several, with replacement, the same ones for
    every arm: differences are paired.
    """
    drawn = _Draws(len(targets), len(taught))
    arms = {
        name: drawn.scores(targets, [cross_fitted(p, targets, objective) for p in outputs])
        for name, outputs in (("teacher", teacher), ("taught", taught), ("control", control))
    }
    gain = {name: _figure(arms["taught"][name] - arms["control"][name]) for name in ("micro", "macro", "balanced")}
    retention = {name: _figure(_ratio(arms["taught"][name], arms["teacher"][name])) for name in ("micro", "macro")}
    decisive = gain[objective].interval
    word: Word = "INCONCLUSIVE"
    if decisive.low > 0:
        word = "BEATS"
    elif decisive.high < MARGIN:
        word = "NO BETTER"
    figures = {name: Arm(_figure(scores["micro"]), _figure(scores["macro"])) for name, scores in arms.items()}
    return Verdict(
        word, objective, judged_on, len(targets), tuple(seeds), gain=gain, retention=retention, **figures
    )


def show(verdict: Verdict) -> None:
    """Print the three arms, the differences and the sentence."""
    title = f"Teacher, student and control on {verdict.judged_on}, {verdict.examples} examples"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("micro-F1 [95 %]", "macro-F1 [95 %]"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, arm in (("teacher", verdict.teacher), ("taught", verdict.taught), ("control", verdict.control)):
        table.add_row(name, _text(arm.micro_f1), _text(arm.macro_f1))
    table.add_row("taught - control", _text(verdict.gain["micro"]), _text(verdict.gain["macro"]))
    table.add_row("taught / teacher", _text(verdict.retention["micro"]), _text(verdict.retention["macro"]))
    output.print(table)
    note(verdict.sentence())


def _text(figure: Figure) -> str:
    return interval(figure.value, figure.interval.low, figure.interval.high)


class _Draws:
    """The bootstrap's draws, one set for every arm. Index 0 is the data as they are."""

    def __init__(self, rows: int, seeds: int) -> None:
        generator = np.random.default_rng(0)
        drawn = generator.multinomial(rows, np.full(rows, 1 / rows), size=ROUNDS)
        self.weights = np.concatenate([np.ones((1, rows)), drawn]).astype(np.float64)
        seeds_drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=ROUNDS)
        self.seed_shares = np.concatenate([np.ones((1, seeds)), seeds_drawn]).astype(np.float64) / seeds

    def scores(self, targets: Targets, decisions: Sequence[Decisions]) -> dict[str, NDArray[np.float64]]:
        """F1 in each draw, (1 + ROUNDS,), by name; the mean over the seeds drawn."""
        gold = targets > 0.5
        micro, macro = [], []
        for made in decisions:
            tp, fp, fn = (self.weights @ part for part in (gold & made, ~gold & made, gold & ~made))
            micro.append(f1_from_counts(tp.sum(1), fp.sum(1), fn.sum(1)))
            macro.append(f1_from_counts(tp, fp, fn).mean(1))
        shares = self.seed_shares if len(decisions) > 1 else np.ones((1 + ROUNDS, 1))
        both = [(np.stack(part, axis=1) * shares).sum(1) for part in (micro, macro)]
        return {"micro": both[0], "macro": both[1], "balanced": (both[0] + both[1]) / 2}


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = above / np.maximum(below, 1e-9)
    return ratio


def _figure(draws: NDArray[np.float64]) -> Figure:
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    return Figure(float(draws[0]), Interval(float(low), float(high)))
