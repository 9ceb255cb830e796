"""Whether one model is better than another on the same examples, and how large a difference these could show.

The words BEATS, NO BETTER, INCONCLUSIVE and NOT WORSE are defined here and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from distill.core.settings.objective import Objective
from distill.core.settings.recipe import MARGIN
from distill.scoring.bootstrap import MetricDraws
from distill.scoring.estimate import Estimate

# (z of a two-sided test at the 5 % level) + (z of a power of 80 %) = 2.80: Bloom 1995, "Minimum Detectable Effects"
DETECTABLE = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)

Outcome = Literal["BEATS", "NO BETTER", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Verdict:
    """`gain` is one model's F1 in `objective` minus another's on the same `examples`, with its paired interval.

    BEATS: the interval lies above 0. NO BETTER: it lies below `margin`. INCONCLUSIVE: neither. `not_worse`: it lies
    above -`margin`, a test of non-inferiority (Piaggio et al. 2012, JAMA 308). `detectable` is the smallest true
    difference that such examples show in four of five cases, DETECTABLE standard errors. Where the outcome is
    INCONCLUSIVE and these examples are too few to show a difference of `margin`, `needed` is about how many would,
    as errors shrink with the root of their number.
    """

    outcome: Outcome
    objective: Objective
    gain: Estimate
    margin: float
    not_worse: bool
    detectable: float
    examples: int
    needed: int | None = None

    @classmethod
    def of(
        cls, ours: MetricDraws, theirs: MetricDraws, objective: Objective, examples: int, margin: float = MARGIN
    ) -> Verdict:
        """Judge the paired draws of two models."""
        draws = ours[objective] - theirs[objective]
        gain = Estimate.of(draws[0], draws[1:])
        outcome: Outcome = "INCONCLUSIVE"
        if gain.low > 0:
            outcome = "BEATS"
        elif gain.high < margin:
            outcome = "NO BETTER"
        detectable = DETECTABLE * float(draws[1:].std(ddof=1))
        needed = None
        if outcome == "INCONCLUSIVE" and detectable > margin:
            needed = math.ceil(examples * (detectable / margin) ** 2)
        return cls(outcome, objective, gain, margin, gain.low > -margin, detectable, examples, needed)

    def sentence(self, ours: str, theirs: str, where: str) -> str:
        """One line for a terminal, a report or a card; `where` says which examples these are."""
        lead = {
            "BEATS": f"{ours} BEATS {theirs}",
            "NO BETTER": f"{ours} is NO BETTER than {theirs}",
            "INCONCLUSIVE": f"{ours} against {theirs} is INCONCLUSIVE",
        }[self.outcome]
        return f"{lead}{self._worse()}: {self.objective} F1 {self.gain:+.3f} on {where}; {self.power()}"

    def power(self) -> str:
        """What these examples could have shown."""
        text = f"a difference of {self.detectable:.3f} could have been shown"
        if self.needed is None:
            return text
        return f"{text}, and one of {self.margin:g} takes about {_about(self.needed):,} labelled examples"

    def _worse(self) -> str:
        """Whether it may be worse, where that does not follow from the outcome."""
        if self.outcome == "BEATS":
            return ""
        if self.not_worse:
            return f", and NOT WORSE by more than {self.margin:g}"
        how = "is" if self.gain.high < -self.margin else "may be"
        return f", and {how} worse by more than {self.margin:g}"


def _about(number: int) -> int:
    """With two digits, rounded up."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return math.ceil(number / unit) * unit
