"""Whether distillation helped: teacher, distilled student and control compared with a paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rich.table import Table

from distill.core.recipe import Objective
from distill.core.terminal import note, output
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, estimate, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.thresholds import cross_fitted

MARGIN = 0.01  # of F1: a smaller gain is not worth a teacher

Outcome = Literal["BEATS", "NO BETTER", "INCONCLUSIVE"]
PHRASES = {
    "BEATS": "BEATS its control",
    "NO BETTER": "is NO BETTER than its control",
    "INCONCLUSIVE": "against its control is INCONCLUSIVE",
}


@dataclass(frozen=True)
class DistillationVerdict:
    """The student against its control, and both against the teacher, on the same rows.

    `gain` holds distilled minus control in micro-F1, macro-F1, their mean, "balanced", and "micro_ap", which needs
    no threshold, and in the accuracy of each group of labels that exclude each other; `retention` holds distilled
    over teacher. Where the teacher did not answer for these rows, `teacher` is None and `retention` empty.
    `outcome` judges the gain in `objective`: BEATS if its interval lies above 0, NO BETTER if it lies below MARGIN,
    INCONCLUSIVE if the data cannot tell.
    """

    outcome: Outcome
    objective: Objective
    judged_on: str
    examples: int
    seeds: tuple[int, ...]
    teacher: ArmMetrics | None
    distilled: ArmMetrics
    control: ArmMetrics
    gain: dict[str, Estimate]
    retention: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """For metrics.json."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """One line for a terminal, a report or a card."""
        gain = self.gain[self.objective]
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        kept = "the teacher did not answer for these rows"
        if self.retention:
            kept = f"the student keeps {self.retention['micro']:.1%} of the teacher's micro-F1"
        return (
            f"distillation {PHRASES[self.outcome]}: {self.objective} F1 {gain:+.3f} "
            f"on {self.judged_on} ({self.examples} examples, {seeds}); {kept}"
        )


@dataclass(frozen=True)
class Arms:
    """Probabilities float32 (N, L) on the same rows. `distilled` and `control` hold one array a seed, in the same
    order; `teacher` holds one for all seeds, or one a seed, or none where the teacher did not answer."""

    teacher: list[Probabilities]
    distilled: list[Probabilities]
    control: list[Probabilities]


def judge_distillation(
    targets: Targets,
    arms: Arms,
    seeds: Sequence[int],
    objective: Objective,
    judged_on: str,
    groups: GroupColumns = NO_GROUPS,
) -> DistillationVerdict:
    """Compare the arms' decisions, with thresholds cross-fitted on the same rows (N, L).

    The bootstrap draws examples, and seeds if there are several, with replacement, and the same ones for every arm:
    differences are paired.
    """
    draws = PairedBootstrap(len(targets), len(arms.distilled))
    scores = {}
    for name, outputs in vars(arms).items():
        if outputs:
            decisions = [cross_fitted(p, targets, objective, groups=groups) for p in outputs]
            scores[name] = draws.metric_draws(targets, outputs, decisions, groups)
    distilled, control, teacher = scores["distilled"], scores["control"], scores.get("teacher")
    gains = paired_difference(distilled, control)
    retention = {}
    if teacher is not None:
        retention = {name: estimate(distilled[name] / np.maximum(teacher[name], 1e-9)) for name in distilled}
    outcome: Outcome = "INCONCLUSIVE"
    if gains[objective].low > 0:
        outcome = "BEATS"
    elif gains[objective].high < MARGIN:
        outcome = "NO BETTER"
    return DistillationVerdict(
        outcome=outcome,
        objective=objective,
        judged_on=judged_on,
        examples=len(targets),
        seeds=tuple(seeds),
        teacher=None if teacher is None else arm_metrics(teacher),
        distilled=arm_metrics(distilled),
        control=arm_metrics(control),
        gain=gains,
        retention=retention,
    )


def show_verdict(verdict: DistillationVerdict) -> None:
    """Print the three arms, the differences and the sentence."""
    title = f"Teacher, student and control on {verdict.judged_on}, {verdict.examples} examples"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    accuracies = tuple(verdict.distilled.accuracies)
    for name in ("micro-F1 [95 %]", "macro-F1 [95 %]", "micro-AP [95 %]", *(f"{a} [95 %]" for a in accuracies)):
        table.add_column(name, justify="right", no_wrap=True)
    arms = {"teacher": verdict.teacher, "distilled": verdict.distilled, "control": verdict.control}
    for name, a in arms.items():
        if a is None:
            continue
        figures_of_arm = (a.micro_f1, a.macro_f1, a.micro_ap, *(a.accuracies[key] for key in accuracies))
        table.add_row(name, *(f"{figure:.3f}" for figure in figures_of_arm))
    for name, figures in (("distilled - control", verdict.gain), ("distilled / teacher", verdict.retention)):
        if not figures:
            continue
        table.add_row(name, *(f"{figures[key]:.3f}" for key in ("micro", "macro", "micro_ap", *accuracies)))
    output.print(table)
    note(verdict.sentence())
