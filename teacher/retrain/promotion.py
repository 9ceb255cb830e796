"""Whether a retrained run replaces the old one: a non-inferiority test on a fixed test set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from distill.core.settings.objective import Objective
from distill.data.groups import GroupColumns
from distill.scoring.bootstrap import ArmMetrics, PairedBootstrap, arm_metrics, paired_difference
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Decisions, Probabilities, Targets

Decision = Literal["PROMOTED", "KEPT OLD"]
Reason = Literal["not worse", "worse", "too few examples"]


@dataclass(frozen=True)
class RunPredictions:
    """One run on the test set: probabilities float32 (N, L), and decisions bool (N, L) with its own thresholds, or
    among its `groups` of labels that exclude each other."""

    probabilities: Probabilities
    decisions: Decisions
    groups: GroupColumns = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """`gain` holds new minus old by metric, in pairs. `required_examples` is how many test examples would promote
    the new run if the difference in `objective` stayed the same; None if no number would, or if the reason is
    another."""

    decision: Decision
    reason: Reason
    objective: Objective
    max_f1_drop: float
    examples: int
    old: ArmMetrics
    new: ArmMetrics
    gain: dict[str, Estimate]
    required_examples: int | None

    def to_json(self) -> dict[str, Any]:
        """For retrain.json."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """What was decided, and why."""
        gain, limit = self.gain[self.objective], f"{self.max_f1_drop:g}"
        difference = f"{self.objective} F1, new minus old, is {gain:+.3f} on {self.examples} test examples"
        if self.reason == "not worse":
            return (
                f"PROMOTED: the new run is not worse. {difference}: the interval lies above -{limit}, what may be "
                "lost."
            )
        if self.reason == "worse":
            return f"KEPT OLD: the new run is worse. {difference}: the interval lies below 0."
        too_few = f"KEPT OLD: the test set is too small to know. {difference}: it may lose more than {limit}"
        if self.required_examples is None:
            return f"{too_few}, and so may it however many examples there are, if the difference stays what it is."
        return (
            f"{too_few}; if the difference stays what it is, about {self.required_examples:,} examples would tell."
        )


def decide_promotion(
    targets: Targets, old: RunPredictions, new: RunPredictions, objective: Objective, max_f1_drop: float
) -> Promotion:
    """Promote if the 95 % interval of new minus old in `objective` F1 lies above -max_f1_drop and not wholly below
    0.

    The first half is a non-inferiority test (Piaggio et al. 2012, JAMA 308): promoting whenever no loss is found
    would not do, as a few examples find nothing. The second half keeps small proven losses from adding up over
    many retrainings. The bootstrap draws examples, the same ones for both runs; it does not vary the seed, as
    these very weights are to be used.
    """
    draws = PairedBootstrap(len(targets), 1)
    before, after = (
        draws.metric_draws(targets, [run.probabilities], [run.decisions], run.groups) for run in (old, new)
    )
    gains = paired_difference(after, before)
    decision, reason = _decide(gains[objective], max_f1_drop)
    too_few = reason == "too few examples"
    return Promotion(
        decision=decision,
        reason=reason,
        objective=objective,
        max_f1_drop=max_f1_drop,
        examples=len(targets),
        old=arm_metrics(before),
        new=arm_metrics(after),
        gain=gains,
        required_examples=_required_examples(gains[objective], max_f1_drop, len(targets)) if too_few else None,
    )


def _decide(gain: Estimate, max_f1_drop: float) -> tuple[Decision, Reason]:
    if gain.high < 0:
        return "KEPT OLD", "worse"
    if gain.low < -max_f1_drop:
        return "KEPT OLD", "too few examples"
    return "PROMOTED", "not worse"


def _required_examples(gain: Estimate, max_f1_drop: float, examples: int) -> int | None:
    """Intervals shrink with the root of the examples: as many as put the lower end at -max_f1_drop."""
    room = gain.value + max_f1_drop
    return math.ceil(examples * ((gain.value - gain.low) / room) ** 2) if room > 0 else None
