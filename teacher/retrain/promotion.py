"""Whether a new run takes an old one's place: one paired comparison and one rule. Knows outputs, no training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from distill.core.recipe import Objective
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Decisions, Probabilities, Targets

Word = Literal["PROMOTED", "KEPT OLD"]
Reason = Literal["not worse", "worse", "too few examples"]


@dataclass(frozen=True)
class Outputs:
    """Of one run on the test set: probabilities float32 (N, L), and decisions bool (N, L) by its own thresholds."""

    probabilities: Probabilities
    decisions: Decisions


@dataclass(frozen=True)
class Promotion:
    """`gain` is new minus old by score, in pairs; `enough` the test examples that would be enough to promote
    the new run if the difference in `objective` stayed what it is, None where none would be or none are wanted."""

    word: Word
    reason: Reason
    objective: Objective
    max_f1_drop: float
    examples: int
    old: ArmMetrics
    new: ArmMetrics
    gain: dict[str, Estimate]
    enough: int | None

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """What was decided, and why."""
        gain, limit = self.gain[self.objective], f"{self.max_f1_drop:g}"
        found = f"{self.objective} F1, new minus old, is {gain:+.3f} on {self.examples} test examples"
        if self.reason == "not worse":
            return (
                f"PROMOTED: the new run is not worse. {found}: the interval lies above -{limit}, what may be lost."
            )
        if self.reason == "worse":
            return f"KEPT OLD: the new run is worse. {found}: the interval lies below 0."
        told = f"KEPT OLD: the test set is too small to know. {found}: it may lose more than {limit}"
        if self.enough is None:
            return f"{told}, and so may it however many examples there are, if the difference stays what it is."
        return f"{told}; if the difference stays what it is, about {self.enough:,} examples would tell."


def judge(targets: Targets, old: Outputs, new: Outputs, objective: Objective, max_f1_drop: float) -> Promotion:
    """Promote when the 95 % interval of new minus old in `objective` F1 lies above -max_f1_drop and not wholly
    below 0.

    The first half is a test of non-inferiority (Piaggio et al. 2012, JAMA 308): that no loss was found is no ground
    for promoting, as few examples find nothing. The second keeps small proven losses from adding up, retraining
    by retraining. The bootstrap draws examples, the same ones for both runs; it says nothing of what another
    seed would have given, as these very weights are to be used.
    """
    draws = PairedBootstrap(len(targets), 1)
    before, after = (draws.metric_draws(targets, [run.probabilities], [run.decisions]) for run in (old, new))
    more = paired_difference(after, before)
    decisive = more[objective]
    word, reason = _decide(decisive, max_f1_drop)
    enough = _enough(decisive, max_f1_drop, len(targets)) if reason == "too few examples" else None
    return Promotion(
        word, reason, objective, max_f1_drop, len(targets), arm_metrics(before), arm_metrics(after), more, enough
    )


def _decide(gain: Estimate, max_f1_drop: float) -> tuple[Word, Reason]:
    if gain.high < 0:
        return "KEPT OLD", "worse"
    if gain.low < -max_f1_drop:
        return "KEPT OLD", "too few examples"
    return "PROMOTED", "not worse"


def _enough(gain: Estimate, max_f1_drop: float, examples: int) -> int | None:
    """Intervals shrink with the root of the examples: as many as put the lower end at -max_f1_drop."""
    room = gain.value + max_f1_drop
    return math.ceil(examples * ((gain.value - gain.low) / room) ** 2) if room > 0 else None
