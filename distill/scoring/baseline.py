"""The baseline that a user would ship instead, in pairs with a model on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from distill.core.settings.objective import Objective
from distill.core.settings.recipe import MARGIN
from distill.scoring.answers import Answers, Rows
from distill.scoring.bootstrap import MetricDraws, PairedBootstrap, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Quality
from distill.scoring.verdict import Verdict


@dataclass(frozen=True)
class AgainstBaseline:
    """A model against the baseline `name` on the same rows. `quality` is the baseline's, and `thresholds` says
    where its thresholds come from; `gain` holds the model's metrics minus the baseline's."""

    name: str
    thresholds: str
    quality: Quality
    gain: dict[str, Estimate]
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class BaselineAnswers:
    """What the baseline `name` answers on the rows that a model is judged on, and the margin to judge it by."""

    name: str
    rows: Rows
    answers: Answers
    margin: float

    def against(self, who: str, ours: Answers) -> AgainstBaseline:
        """Judge the model that is called `who`, in the objective of its thresholds."""
        bootstrap, rows = PairedBootstrap(len(self.rows), 1), self.rows
        draws = bootstrap.metric_draws(rows.targets, [ours.over_labels], [ours.decisions], rows.groups)
        return self.judge(who, ours.thresholds.objective, draws, bootstrap)

    def judge(
        self, who: str, objective: Objective, draws: MetricDraws, bootstrap: PairedBootstrap
    ) -> AgainstBaseline:
        """Judge one whose metrics in each draw of the bootstrap are known, such as the mean of several seeds."""
        rows, a = self.rows, self.answers
        theirs = bootstrap.metric_draws(rows.targets, [a.over_labels], [a.decisions], rows.groups)
        verdict = Verdict.of(draws, theirs, objective, len(rows), self.margin)
        return AgainstBaseline(
            name=self.name,
            thresholds=a.origin(rows),
            quality=a.quality(rows),
            gain=paired_difference(draws, theirs),
            verdict=verdict,
            sentence=verdict.sentence(who, self.name, str(rows)),
        )


@dataclass(frozen=True)
class Yardstick:
    """What models are judged by: the smallest difference that matters, and a baseline that answered the same rows,
    if there is one."""

    margin: float = MARGIN
    baseline: BaselineAnswers | None = None

    def judge(
        self, who: str, objective: Objective, draws: MetricDraws, bootstrap: PairedBootstrap
    ) -> AgainstBaseline | None:
        """As `BaselineAnswers.judge`; None without a baseline."""
        return None if self.baseline is None else self.baseline.judge(who, objective, draws, bootstrap)


PLAIN = Yardstick()
