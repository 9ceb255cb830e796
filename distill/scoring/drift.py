"""Whether new examples are like earlier ones: rates and distributions. Knows arrays (numpy only), no models.

Of all that is measured in one report, a drift is called by chance, where nothing changed, in 5 % of reports at the
most: half of that is shared out among the rates, half among the distributions (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05  # of a false call anywhere in a report
PERMUTATIONS = 999
ROWS = 1000  # of each side in a kernel matrix; more are drawn from
FEWEST = 10  # rows of a side that a distribution can be judged by
SEED = 13

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class RateChange:
    """How many of the examples have something, before and now, and the change of their share (now - before) with
    an interval that allows for all rates of the report; `drifted` when it leaves out 0."""

    name: str
    before: int
    before_of: int
    now: int
    now_of: int
    change: float
    low: float
    high: float
    drifted: bool


@dataclass(frozen=True)
class DistributionShift:
    """How far two samples are apart, and how far they would be by chance: `chance` is what permuted samples stay
    below but for the share allowed to each distribution, and `p` how many permuted ones are as far apart.
    `drifted` when p is within that share. The means are of one-dimensional samples only."""

    name: str
    measure: str
    value: float
    chance: float
    p: float
    before_of: int
    now_of: int
    before_mean: float | None
    now_mean: float | None
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """Every rate and every distribution; `skipped` names those with too few rows."""

    rates: tuple[RateChange, ...]
    shifts: tuple[DistributionShift, ...]
    skipped: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The names of what changed."""
        names = [rate.name for rate in self.rates if rate.drifted]
        return (*names, *(shift.name for shift in self.shifts if shift.drifted))

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self) | {"drifted": list(self.drifted), "alpha": ALPHA}


def compare_rates(names: list[str], before: NDArray[np.bool_], now: NDArray[np.bool_]) -> tuple[RateChange, ...]:
    """Before bool (M, K) and now bool (N, K), both with rows, column by column."""
    confidence = 1 - ALPHA / 2 / len(names)
    found = []
    for i, name in enumerate(names):
        a, b, m, n = int(before[:, i].sum()), int(now[:, i].sum()), len(before), len(now)
        low, high = newcombe_interval(b, n, a, m, confidence)
        found.append(RateChange(name, a, m, b, n, b / n - a / m, low, high, not low <= 0 <= high))
    return tuple(found)


def newcombe_interval(a: int, m: int, b: int, n: int, confidence: float) -> tuple[float, float]:
    """An interval of a/m - b/n from the Wilson intervals of both.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17, method 10. It holds for rare labels too, where the textbook's normal interval does not.
    """
    p, q = a / m, b / n
    (low_p, high_p), (low_q, high_q) = wilson_interval(a, m, confidence), wilson_interval(b, n, confidence)
    low = p - q - math.hypot(p - low_p, high_q - q)
    return low, p - q + math.hypot(high_p - p, q - low_q)


def wilson_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); Wilson 1927."""
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), count / of
    centre, scale = p + z * z / (2 * of), 1 + z * z / of
    half = z * math.sqrt(p * (1 - p) / of + (z / (2 * of)) ** 2)
    return (centre - half) / scale, (centre + half) / scale


def embedding_shift(name: str, before: Floats, now: Floats, level: float) -> DistributionShift:
    """By the distance of kernel means of features (M, D) and (N, D), see `mmd`."""
    generator = np.random.default_rng(SEED)
    x, y = (
        rows if len(rows) <= ROWS else rows[generator.choice(len(rows), ROWS, replace=False)]
        for rows in (before, now)
    )
    kernel = gaussian_kernel(np.concatenate([x, y]).astype(np.float64))
    drawn = mmd(kernel, _memberships(len(x), len(y), generator))
    return _judge_shift(name, "MMD^2", drawn, (len(x), len(y)), None, level)


def value_shift(name: str, before: Floats, now: Floats, level: float) -> DistributionShift:
    """By the largest difference of the cumulative distributions of values (M,) and (N,), see `kolmogorov`."""
    sides = _memberships(len(before), len(now), np.random.default_rng(SEED))
    drawn = kolmogorov_smirnov(np.concatenate([before, now]), sides)
    means = float(before.mean()), float(now.mean())
    return _judge_shift(name, "KS", drawn, (len(before), len(now)), means, level)


def gaussian_kernel(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-|x - y|^2 / 2 s^2), (N, N), where s is the median distance of the points (Gretton et al. 2012, 8)."""
    squares = (points**2).sum(1)
    apart = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    median = float(np.median(np.sqrt(apart[np.triu_indices(len(points), 1)])))
    result: NDArray[np.float64] = np.exp(-apart / (2 * (median or 1.0) ** 2))
    return result


def mmd(kernel: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared maximum mean discrepancy, (R,), without bias, of the rows that each of sides (R, N) marks with 1 from
    those that it marks with 0.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), no point with itself: Gretton et al. 2012, "A Kernel Two-Sample
    Test", eq. 3.
    """
    kernel = kernel - np.diag(np.diag(kernel))
    m = sides.sum(1)
    n = sides.shape[1] - m
    within = ((sides @ kernel) * sides).sum(1)
    from_x = sides @ kernel.sum(1)
    across = from_x - within
    other = kernel.sum() - 2 * across - within
    result: NDArray[np.float64] = within / (m * (m - 1)) + other / (n * (n - 1)) - 2 * across / (m * n)
    return result


def kolmogorov_smirnov(values: Floats, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """sup |F(v) - G(v)|, (R,), the Kolmogorov-Smirnov statistic of values (N,) that each of sides (R, N) marks."""
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)  # equal values stay together
    ranked = sides[:, order]
    steps = ranked / sides.sum(1, keepdims=True) - (1 - ranked) / (1 - sides).sum(1, keepdims=True)
    result: NDArray[np.float64] = np.abs(np.cumsum(steps, axis=1)[:, ends]).max(1)
    return result


def _memberships(m: int, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Which rows belong to the first sample: as they do, and permuted; (1 + PERMUTATIONS, m + n)."""
    truth = np.concatenate([np.ones(m), np.zeros(n)])
    return np.vstack([truth, generator.permuted(np.tile(truth, (PERMUTATIONS, 1)), axis=1)])


def _judge_shift(
    name: str,
    measure: str,
    drawn: NDArray[np.float64],
    sizes: tuple[int, int],
    means: tuple[float, float] | None,
    level: float,
) -> DistributionShift:
    """From the statistic (1 + PERMUTATIONS,), the first one in truth. The truth counts as one of the permutations,
    so that p is never 0 and the test is exact (Phipson and Smyth 2010)."""
    value, chance = float(drawn[0]), float(np.quantile(drawn[1:], 1 - level))
    p = float((drawn >= value - 1e-12).mean())
    before, now = means or (None, None)
    return DistributionShift(name, measure, value, chance, p, *sizes, before, now, p <= level)


def detect_drift(
    names: list[str],
    having: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    values: Mapping[str, tuple[Floats, Floats]],
    features: Mapping[str, tuple[Floats, Floats]],
) -> DriftReport:
    """Before and now: `having` bool (M, K) and (N, K) by `names`, `values` (M,) and (N,), `features` (M, D) and
    (N, D). Distributions with fewer than FEWEST rows on a side are skipped."""
    level = ALPHA / 2 / (len(values) + len(features))
    shifts, skipped = [], []
    for measure, pairs in ((value_shift, values), (embedding_shift, features)):
        for name, (before, now) in pairs.items():
            if min(len(before), len(now)) < FEWEST:
                skipped.append(name)
            else:
                shifts.append(measure(name, before, now, level))
    return DriftReport(compare_rates(names, *having), tuple(shifts), tuple(skipped))
