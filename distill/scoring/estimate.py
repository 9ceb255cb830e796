"""A value with its 95 % interval, how it is printed, and the draws of a bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval, in the same unit; infinite if there is no interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: Any, draws: NDArray[np.float64]) -> Estimate:
        """A value on the data, with the 2.5 and 97.5 percentiles of its bootstrap draws (R,)."""
        low, high = np.percentile(draws, [2.5, 97.5])
        return cls(float(value), float(low), float(high))

    @classmethod
    def unbounded(cls, value: float) -> Estimate:
        """A value without an interval."""
        return cls(value, -math.inf, math.inf)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __format__(self, spec: str) -> str:
        """`f"{f1:.3f}"` gives 0.512 [0.441, 0.583], `f"{gain:+.3f}"` +0.012 [-0.004, +0.028]; without an interval,
        the value alone."""
        spec = spec or ".3f"
        if not self.bounded:
            return f"{self.value:{spec}}"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap_draws(rows: int, rounds: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `rows` examples is drawn with replacement in each round, (rounds, rows)."""
    return generator.multinomial(rows, np.full(rows, 1 / rows), size=rounds).astype(np.float64)
