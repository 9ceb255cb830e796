"""Did distillation help? Knows decisions of both arms, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rich.table import Table

from distill.core.recipe import Objective
from distill.core.terminal import note, output
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, estimate, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.thresholds import cross_fitted

MARGIN = 0.01  # of F1: a gain below it is not worth a teacher

Word = Literal["BEATS", "NO BETTER", "INCONCLUSIVE"]
WORDING = {
    "BEATS": "BEATS its control",
    "NO BETTER": "is NO BETTER than its control",
    "INCONCLUSIVE": "against its control is INCONCLUSIVE",
}


@dataclass(frozen=True)
class Verdict:
    """The student against its control, and both against the teacher, on the same rows.

    `gain` holds distilled minus control in micro-F1, macro-F1, their mean, "balanced", and "micro_ap", which needs
    no threshold; `retention` holds distilled over teacher. `word` judges the gain in `objective`: BEATS when its
    interval lies above 0, NO BETTER when it lies below MARGIN, INCONCLUSIVE when the data cannot tell.
    """

    word: Word
    objective: Objective
    judged_on: str
    examples: int
    seeds: tuple[int, ...]
    teacher: ArmMetrics
    distilled: ArmMetrics
    control: ArmMetrics
    gain: dict[str, Estimate]
    retention: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """One line for a terminal, a report or a card."""
        gain, kept = self.gain[self.objective], self.retention["micro"]
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        return (
            f"distillation {WORDING[self.word]}: {self.objective} F1 {gain:+.3f} "
            f"on {self.judged_on} ({self.examples} examples, "
            f"{seeds}); the student keeps {kept:.1%} of "
            "the teacher's micro-F1"
        )


@dataclass(frozen=True)
class Arms:
    """Probabilities float32 (N, L) on the same rows. `distilled` and `control` hold one array a seed, in the same
    order; `teacher` holds one for all, or as many."""

    teacher: list[Probabilities]
    distilled: list[Probabilities]
    control: list[Probabilities]


def judge(targets: Targets, arms: Arms, seeds: Sequence[int], objective: Objective, judged_on: str) -> Verdict:
    """Decide each model's outputs (N, L) with thresholds cross-fitted on the same rows, and compare.

    The bootstrap draws examples, and seeds where there are several, with replacement, the same ones for
    every arm: differences are paired.
    """
    drawn = PairedBootstrap(len(targets), len(arms.distilled))
    scores = {
        name: drawn.metric_draws(targets, outputs, [cross_fitted(p, targets, objective) for p in outputs])
        for name, outputs in vars(arms).items()
    }
    ours, alone, above = scores["distilled"], scores["control"], scores["teacher"]
    more = paired_difference(ours, alone)
    retention = {name: estimate(ours[name] / np.maximum(above[name], 1e-9)) for name in ours}
    decisive = more[objective]
    word: Word = "INCONCLUSIVE"
    if decisive.low > 0:
        word = "BEATS"
    elif decisive.high < MARGIN:
        word = "NO BETTER"
    figures = {name: arm_metrics(drawn_scores) for name, drawn_scores in scores.items()}
    return Verdict(
        word,
        objective,
        judged_on,
        len(targets),
        tuple(seeds),
        gain=more,
        retention=retention,
        **figures,
    )


def show(verdict: Verdict) -> None:
    """Print the three arms, the differences and the sentence."""
    title = f"Teacher, student and control on {verdict.judged_on}, {verdict.examples} examples"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("micro-F1 [95 %]", "macro-F1 [95 %]", "micro-AP [95 %]"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, one in (("teacher", verdict.teacher), ("distilled", verdict.distilled), ("control", verdict.control)):
        table.add_row(name, f"{one.micro_f1:.3f}", f"{one.macro_f1:.3f}", f"{one.micro_ap:.3f}")
    for name, figures in (("distilled - control", verdict.gain), ("distilled / teacher", verdict.retention)):
        table.add_row(name, *(f"{figures[key]:.3f}" for key in ("micro", "macro", "micro_ap")))
    output.print(table)
    note(verdict.sentence())
