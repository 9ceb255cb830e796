"""Whether distillation helped: teacher, distilled student and control compared with a paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from distill.core.output.terminal import note, output
from distill.core.settings.objective import Objective
from distill.scoring.answers import Answers, Rows
from distill.scoring.baseline import PLAIN, AgainstBaseline, Yardstick
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, estimate, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.verdict import Outcome, Verdict


@dataclass(frozen=True)
class DistillationVerdict:
    """The student against its control, and both against the teacher, on the same rows.

    `verdict` judges distilled minus control in the objective. `gain` holds that difference in micro-F1, macro-F1,
    their mean, "balanced", and "micro_ap", which needs no threshold, and in the accuracy of each group of labels
    that exclude each other; `retention` holds distilled over teacher. Where the teacher did not answer for these
    rows, `teacher` is None and `retention` empty. `thresholds` says of each arm where its own come from, and
    `baseline` compares the student with a baseline.
    """

    verdict: Verdict
    judged_on: str
    examples: int
    seeds: tuple[int, ...]
    thresholds: dict[str, str]
    teacher: ArmMetrics | None
    distilled: ArmMetrics
    control: ArmMetrics
    gain: dict[str, Estimate]
    retention: dict[str, Estimate]
    baseline: AgainstBaseline | None = None

    @property
    def outcome(self) -> Outcome:
        """Whether it beats its control."""
        return self.verdict.outcome

    def to_json(self) -> dict[str, Any]:
        """For metrics.json."""
        judged = {"outcome": self.outcome, "objective": self.verdict.objective}
        return judged | asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """One line for a terminal, a report or a card."""
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        kept = "the teacher did not answer for these rows"
        if self.retention:
            kept = f"the student keeps {self.retention['micro']:.1%} of the teacher's micro-F1"
        where = f"{self.judged_on} ({self.examples} examples, {seeds})"
        return f"{self.verdict.sentence('distillation', 'its control', where)}; {kept}"


@dataclass(frozen=True)
class Arms:
    """Answers for the same rows. `distilled` and `control` hold one for each seed, in the same order; `teacher`
    holds one for all seeds, or none where the teacher did not answer."""

    teacher: list[Answers]
    distilled: list[Answers]
    control: list[Answers]

    def by_name(self) -> dict[str, list[Answers]]:
        """Those of the experiment that answered."""
        arms = {"teacher": self.teacher, "distilled": self.distilled, "control": self.control}
        return {name: answers for name, answers in arms.items() if answers}


def judge_distillation(
    rows: Rows, arms: Arms, seeds: Sequence[int], objective: Objective, yardstick: Yardstick = PLAIN
) -> DistillationVerdict:
    """Compare the arms' decisions, and the student's with a baseline's if there is one.

    The bootstrap draws examples, and seeds if there are several, with replacement, and the same ones for every arm:
    differences are paired.
    """
    bootstrap = PairedBootstrap(len(rows), len(arms.distilled))
    scores = {
        name: bootstrap.metric_draws(
            rows.targets, [a.over_labels for a in answers], [a.decisions for a in answers], rows.groups
        )
        for name, answers in arms.by_name().items()
    }
    distilled, control, teacher = scores["distilled"], scores["control"], scores.get("teacher")
    retention = {}
    if teacher is not None:
        retention = {name: estimate(distilled[name] / np.maximum(teacher[name], 1e-9)) for name in distilled}
    return DistillationVerdict(
        verdict=Verdict.of(distilled, control, objective, len(rows), yardstick.margin),
        judged_on=rows.name,
        examples=len(rows),
        seeds=tuple(seeds),
        thresholds={name: answers[0].origin(rows) for name, answers in arms.by_name().items()},
        teacher=None if teacher is None else arm_metrics(teacher),
        distilled=arm_metrics(distilled),
        control=arm_metrics(control),
        gain=paired_difference(distilled, control),
        retention=retention,
        baseline=yardstick.judge("the student", objective, distilled, bootstrap),
    )


def show_verdict(verdict: DistillationVerdict) -> None:
    """Print the arms, the differences and the sentences."""
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
    baseline = verdict.baseline
    if baseline is not None:
        q = baseline.quality
        shares = (f"{group.accuracy:.3f}" for group in q.groups or ())
        table.add_row(baseline.name, f"{q.micro_f1:.3f}", f"{q.macro_f1:.3f}", f"{q.micro_ap:.3f}", *shares)
    differences = {"distilled - control": verdict.gain, "distilled / teacher": verdict.retention}
    if baseline is not None:
        differences["distilled - baseline"] = baseline.gain
    for name, figures in differences.items():
        if figures:
            table.add_row(name, *(f"{figures[key]:.3f}" for key in ("micro", "macro", "micro_ap", *accuracies)))
    output.print(table)
    origins = verdict.thresholds | ({} if baseline is None else {"baseline": baseline.thresholds})
    note(f"thresholds: {'; '.join(f'{name} {origin}' for name, origin in origins.items())}")
    note(verdict.sentence())
    if baseline is not None:
        note(baseline.sentence)
