"""Detects drift between earlier and new examples: changes of rates, and shifts of distributions.

If nothing changed, at most 5 % of reports call any drift: half of that error is divided among the rates, half among
the distributions (Bonferroni correction).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05  # probability of a false call anywhere in a report
PERMUTATIONS = 999
ROWS = 1000  # of each sample in a kernel matrix; larger samples are subsampled
FEWEST = 10  # rows of a sample that a distribution can be judged by
SEED = 13

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TwoSamples:
    """What was measured of the earlier examples, (M,) or (M, D), and of the new ones, (N,) or (N, D)."""

    before: NDArray[Any]
    now: NDArray[Any]


@dataclass(frozen=True)
class RateChange:
    """How many examples have a property, before and now, and the change of that share (now - before) with its
    interval, corrected for all rates of the report; `drifted` if the interval excludes 0."""

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
    """A permutation test of whether two samples have one distribution: `value` is the statistic named `measure`,
    `chance` its critical value, and `p` the p-value; `drifted` if p is within the corrected level. The means are of
    one-dimensional samples only."""

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
    """All rates and distributions; `skipped` names the distributions with too few rows."""

    rates: tuple[RateChange, ...]
    shifts: tuple[DistributionShift, ...]
    skipped: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The names of what changed."""
        names = [rate.name for rate in self.rates if rate.drifted]
        return (*names, *(shift.name for shift in self.shifts if shift.drifted))

    def to_json(self) -> dict[str, Any]:
        """A JSON table."""
        return asdict(self) | {"drifted": list(self.drifted), "alpha": ALPHA}


def compare_rates(names: list[str], properties: TwoSamples) -> tuple[RateChange, ...]:
    """The change of each property's rate, from bool (M, K) and (N, K) with M, N > 0; the K columns have `names`."""
    confidence = 1 - ALPHA / 2 / len(names)
    m, n = len(properties.before), len(properties.now)
    changes = []
    for name, before, now in zip(names, properties.before.T, properties.now.T, strict=True):
        a, b = int(before.sum()), int(now.sum())
        low, high = newcombe_interval(b, n, a, m, confidence)
        changes.append(RateChange(name, a, m, b, n, b / n - a / m, low, high, not low <= 0 <= high))
    return tuple(changes)


def newcombe_interval(a: int, m: int, b: int, n: int, confidence: float) -> tuple[float, float]:
    """(low, high) of a/m - b/n, from the Wilson intervals of both.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17, method 10. Unlike the normal interval, it holds for rare labels.
    """
    p, q = a / m, b / n
    (low_p, high_p), (low_q, high_q) = wilson_interval(a, m, confidence), wilson_interval(b, n, confidence)
    low = p - q - math.hypot(p - low_p, high_q - q)
    return low, p - q + math.hypot(high_p - p, q - low_q)


def wilson_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """(low, high) of a rate: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); Wilson 1927."""
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), count / of
    centre, scale = p + z * z / (2 * of), 1 + z * z / of
    half = z * math.sqrt(p * (1 - p) / of + (z / (2 * of)) ** 2)
    return (centre - half) / scale, (centre + half) / scale


def embedding_shift(name: str, samples: TwoSamples, level: float) -> DistributionShift:
    """Test features (M, D) and (N, D) with the maximum mean discrepancy, see `mmd`."""
    generator = np.random.default_rng(SEED)
    x, y = (
        rows if len(rows) <= ROWS else rows[generator.choice(len(rows), ROWS, replace=False)]
        for rows in (samples.before, samples.now)
    )
    kernel = gaussian_kernel(np.concatenate([x, y]).astype(np.float64))
    drawn = mmd(kernel, _memberships(len(x), len(y), generator))
    return _judge_shift(name, "MMD^2", drawn, (len(x), len(y)), None, level)


def value_shift(name: str, samples: TwoSamples, level: float) -> DistributionShift:
    """Test values (M,) and (N,) with the Kolmogorov-Smirnov statistic."""
    before, now = samples.before, samples.now
    sides = _memberships(len(before), len(now), np.random.default_rng(SEED))
    drawn = kolmogorov_smirnov(np.concatenate([before, now]), sides)
    means = float(before.mean()), float(now.mean())
    return _judge_shift(name, "KS", drawn, (len(before), len(now)), means, level)


def gaussian_kernel(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-|x - y|^2 / 2 s^2), (N, N), where s is the median distance between the points (N, D) (Gretton et al.
    2012, section 8)."""
    squares = (points**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)  # squared
    median = float(np.median(np.sqrt(distances[np.triu_indices(len(points), 1)])))
    result: NDArray[np.float64] = np.exp(-distances / (2 * (median or 1.0) ** 2))
    return result


def mmd(kernel: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unbiased squared maximum mean discrepancy, (R,), between the rows of kernel (N, N) that each of sides (R, N)
    marks with 1 and those that it marks with 0.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), without pairs of a point with itself: Gretton et al. 2012, "A
    Kernel Two-Sample Test", eq. 3.
    """
    kernel = kernel - np.diag(np.diag(kernel))
    m = sides.sum(1)
    n = sides.shape[1] - m
    within_x = ((sides @ kernel) * sides).sum(1)
    across = sides @ kernel.sum(1) - within_x
    within_y = kernel.sum() - 2 * across - within_x
    result: NDArray[np.float64] = within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * across / (m * n)
    return result


def kolmogorov_smirnov(values: Floats, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov statistic sup |F(v) - G(v)|, (R,), between the values (N,) that each of sides (R, N) marks
    with 1 and those that it marks with 0."""
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)  # compare after ties only
    ranked = sides[:, order]
    steps = ranked / sides.sum(1, keepdims=True) - (1 - ranked) / (1 - sides).sum(1, keepdims=True)
    result: NDArray[np.float64] = np.abs(np.cumsum(steps, axis=1)[:, ends]).max(1)
    return result


def _memberships(m: int, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Which rows belong to the first sample, 1 or 0: first as observed, then permuted; (1 + PERMUTATIONS, m +
    n)."""
    observed = np.concatenate([np.ones(m), np.zeros(n)])
    return np.vstack([observed, generator.permuted(np.tile(observed, (PERMUTATIONS, 1)), axis=1)])


def _judge_shift(
    name: str,
    measure: str,
    drawn: NDArray[np.float64],
    sizes: tuple[int, int],
    means: tuple[float, float] | None,
    level: float,
) -> DistributionShift:
    """The result of a test from its statistic (1 + PERMUTATIONS,), the first value as observed. The observed value
    counts as a permutation, so that p is never 0 and the test is exact (Phipson and Smyth 2010, "Permutation
    P-values Should Never Be Zero")."""
    value, chance = float(drawn[0]), float(np.quantile(drawn[1:], 1 - level))
    p = float((drawn >= value - 1e-12).mean())
    before, now = means or (None, None)
    return DistributionShift(name, measure, value, chance, p, *sizes, before, now, p <= level)


def detect_drift(
    names: list[str],
    properties: TwoSamples,
    values: Mapping[str, TwoSamples],
    features: Mapping[str, TwoSamples],
) -> DriftReport:
    """Compare the rates of `properties`, bool (M, K) and (N, K) with `names` for columns, and the distributions of
    `values`, (M,) and (N,), and of `features`, (M, D) and (N, D). Distributions with fewer than FEWEST rows in a
    sample are skipped."""
    level = ALPHA / 2 / (len(values) + len(features))
    shifts, skipped = [], []
    for test, distributions in ((value_shift, values), (embedding_shift, features)):
        for name, samples in distributions.items():
            if min(len(samples.before), len(samples.now)) < FEWEST:
                skipped.append(name)
            else:
                shifts.append(test(name, samples, level))
    return DriftReport(compare_rates(names, properties), tuple(shifts), tuple(skipped))
