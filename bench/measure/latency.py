"""Rounds of times to figures with intervals, and whether the machine was quiet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.report.measured import Stream, Timing
from bench.report.types import Noise
from distill.scoring.estimate import Estimate

DRAWS = 1000
DISTURBED_DEVIATION = 0.10  # a round whose median is so far from the median of all rounds was disturbed
NOISY_SHARE = 0.10  # of rounds that were disturbed
NOISY_INTERVAL = 0.10  # width of a p50's interval over the p50
NOISY_REPEAT = 0.05  # between the same Bundle measured twice

Rounds = Sequence[Sequence[float]]


def min_calls_for_quantile(quantile: float) -> int:
    """How many calls a quantile in (0, 1) needs: only from there on can even the slowest call be above it with
    97.5 % confidence, 1 - q^n >= 0.975, which the upper end of a 95 % interval takes (Wilks 1941, "Determination
    of Sample Sizes for Setting Tolerance Limits"). 36 for p90, 368 for p99."""
    return math.ceil(math.log(0.025) / math.log(quantile))


def summarise(threads: int, batch: int, rounds: Rounds, model_rounds: Rounds = ()) -> Timing:
    """Quantiles of all calls. Rounds are of one length. A quantile without enough calls is None. `model_rounds` are
    those of the model alone."""
    times = np.asarray(rounds, dtype=np.float64)
    medians = np.median(times, axis=1)
    return Timing(
        threads=threads,
        batch=batch,
        p50=bootstrap_over_rounds(times, lambda drawn: np.median(drawn, axis=1)),
        p90=_quantile(times, 0.9),
        p99=_quantile(times, 0.99),
        round_spread=float((medians.max() - medians.min()) / np.median(times)),
        raw_ms=tuple(tuple(part) for part in rounds),
        model_raw_ms=tuple(tuple(part) for part in model_rounds),
    )


def stream(threads: int, batch: int, how: str, posts: int, seconds: Sequence[float]) -> Stream:
    """Posts a second at the median of the rounds, which took so many `seconds`."""
    rate = bootstrap_over_rounds(
        np.array(seconds)[:, None], lambda drawn: np.asarray(posts / np.median(drawn, axis=1))
    )
    return Stream(threads, batch, how, posts, rate, tuple(seconds))


def bootstrap_over_rounds(
    times: NDArray[np.float64], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Estimate:
    """A figure of times (R, C) and its interval over rounds drawn with replacement, as in Künsch 1989, "The
    Jackknife and the Bootstrap for General Stationary Observations": calls of one round share the machine's mood,
    so drawing single calls would make intervals too narrow. `figure` maps (D, calls) to (D,)."""
    drawn = np.random.default_rng(0).integers(0, len(times), (DRAWS, len(times)))
    values = figure(times[drawn].reshape(DRAWS, -1))
    return Estimate.of(figure(times.reshape(1, -1))[0], values)


def noise(own: Rounds, repeat: Rounds, timings: Sequence[tuple[str, Timing]]) -> Noise:
    """The verdict from the own Bundle's rounds, those of its `repeat` in a second process, taken in turns, and
    every variant's named timing.

    It does not look at the span of the rounds' medians, which grows with their number: a longer measurement
    would be the noisier one.
    """
    ratio, reasons = repeat_ratio(own, repeat), []
    for name, timing in timings:
        share, p50 = disturbed_share(timing.raw_ms), timing.p50
        if share > NOISY_SHARE:
            reasons.append(
                f"{share:.0%} of {name}'s rounds were more than {DISTURBED_DEVIATION:.0%} off their median"
            )
        elif p50.high - p50.low > NOISY_INTERVAL * p50.value:
            reasons.append(f"the interval of {name}'s p50 is {(p50.high - p50.low) / p50.value:.0%} wide")
    if abs(ratio.value - 1) > NOISY_REPEAT:
        reasons.append(f"the same Bundle in two processes differed by {abs(ratio.value - 1):.0%}")
    return Noise("noisy" if reasons else "quiet", ratio, tuple(reasons))


def disturbed_share(rounds: Rounds) -> float:
    """The share of rounds, in [0, 1], whose median is more than DISTURBED_DEVIATION away from the
    median of the rounds'."""
    medians = np.array([np.median(part) for part in rounds])
    return float((np.abs(medians / np.median(medians) - 1) > DISTURBED_DEVIATION).mean())


def repeat_ratio(own: Rounds, repeat: Rounds) -> Estimate:
    """The median of the `repeat` over the own one; rounds are drawn in pairs, since they were run one after the
    other."""
    pairs = np.concatenate([np.asarray(repeat, dtype=np.float64), np.asarray(own, dtype=np.float64)], axis=1)
    calls = len(own[0])

    def figure(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = drawn.reshape(len(drawn), -1, 2, calls)
        repeats, owns = (parts[:, :, i].reshape(len(drawn), -1) for i in (0, 1))
        result: NDArray[np.float64] = np.median(repeats, axis=1) / np.median(owns, axis=1)
        return result

    return bootstrap_over_rounds(pairs, figure)


def _quantile(times: NDArray[np.float64], quantile: float) -> Estimate | None:
    if times.size < min_calls_for_quantile(quantile):
        return None
    return bootstrap_over_rounds(times, lambda drawn: np.quantile(drawn, quantile, axis=1))
