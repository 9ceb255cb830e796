"""Times to figures, against numpy, scipy-free hand computation and simulated machines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.measure import latency
from bench.measure.interleave import numbers
from distill.core.errors import BenchError
from distill.scoring.estimate import Estimate


def quiet(rounds: int = 20, calls: int = 20, seed: int = 0, centre: float = 10.0) -> list[list[float]]:
    generator = np.random.default_rng(seed)
    return (centre + 0.2 * generator.standard_normal((rounds, calls))).tolist()


def test_quantiles_are_numpys_over_all_calls() -> None:
    rounds = quiet()
    timing = latency.summarise(1, 1, rounds)
    assert timing.p50.value == pytest.approx(np.median(rounds))
    assert timing.p90 is not None
    assert timing.p90.value == pytest.approx(np.quantile(rounds, 0.9))
    assert timing.p99 is not None
    assert timing.p99.value == pytest.approx(np.quantile(rounds, 0.99))
    assert timing.calls == 400


def test_the_spread_of_rounds_of_a_hand_computed_case() -> None:
    timing = latency.summarise(2, 4, [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    assert (timing.threads, timing.batch, timing.p50.value) == (2, 4, 3.0)
    assert timing.round_spread == pytest.approx((4.0 - 2.0) / 3.0)


@pytest.mark.parametrize(("quantile", "calls"), [(0.5, 6), (0.9, 36), (0.99, 368)])
def test_a_quantile_needs_so_many_calls_that_one_is_surely_above_it(quantile: float, calls: int) -> None:
    assert latency.min_calls_for_quantile(quantile) == calls
    assert 1 - quantile**calls >= 0.975 > 1 - quantile ** (calls - 1)


def test_p99_and_p90_are_refused_below_the_calls_they_need() -> None:
    assert latency.summarise(1, 1, quiet(18)).p99 is None  # 360 calls
    assert latency.summarise(1, 1, quiet(19)).p99 is not None  # 380
    assert latency.summarise(1, 1, quiet(1)).p90 is None
    assert latency.summarise(1, 1, quiet(2)).p90 is not None


def test_intervals_hold_the_true_median_as_often_as_they_say() -> None:
    """The machine changes its mood from round to round; drawing single calls would cover far less than this."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        moods = 10 + generator.standard_normal((20, 1))
        timing = latency.summarise(1, 1, (moods + 0.1 * generator.standard_normal((20, 20))).tolist())
        covered += timing.p50.low <= 10 <= timing.p50.high
    assert 85 <= covered <= 100


def test_a_quiet_machine_is_called_quiet_and_its_repeat_ratio_is_one() -> None:
    own, repeat = quiet(seed=1), quiet(seed=2)
    verdict = latency.noise(own, repeat, [("own", latency.summarise(1, 1, own))])
    assert verdict.verdict == "quiet"
    assert verdict.reasons == ()
    assert verdict.ratio.low <= 1 <= verdict.ratio.high
    assert verdict.ratio.value == pytest.approx(np.median(repeat) / np.median(own))


def test_noise_on_one_variant_turns_the_verdict_and_names_it() -> None:
    disturbed = quiet()
    disturbed[3:6] = [[1.5 * value for value in part] for part in disturbed[3:6]]
    own, repeat = quiet(seed=1), quiet(seed=2)
    timings = [("fp32", latency.summarise(1, 1, disturbed)), ("own", latency.summarise(1, 1, own))]
    verdict = latency.noise(own, repeat, timings)
    assert verdict.verdict == "noisy"
    assert verdict.reasons == ("15% of fp32's rounds were more than 10% off their median",)


def test_one_disturbed_round_in_twenty_does_not_turn_the_verdict_however_far_off_it_is() -> None:
    disturbed = quiet()
    disturbed[7] = [3 * value for value in disturbed[7]]
    timing = latency.summarise(1, 1, disturbed)
    assert timing.round_spread > 1.5
    own, repeat = quiet(seed=1), quiet(seed=2)
    assert latency.noise(own, repeat, [("fp32", timing)]).verdict == "quiet"


def test_a_p50_that_is_not_known_well_turns_the_verdict() -> None:
    own, repeat = quiet(seed=1), quiet(seed=2)
    wide = replace(latency.summarise(1, 1, quiet()), p50=Estimate(10.0, 9.4, 10.6))
    (reason,) = latency.noise(own, repeat, [("fp32", wide)]).reasons
    assert reason == "the interval of fp32's p50 is 12% wide"


def test_a_repeat_that_takes_another_time_turns_the_verdict() -> None:
    own, slower = quiet(seed=1), quiet(seed=2, centre=11.0)
    verdict = latency.noise(own, slower, [("own", latency.summarise(1, 1, own))])
    assert verdict.verdict == "noisy"
    assert verdict.reasons == ("the same Bundle in two processes differed by 10%",)


def test_the_repeats_interval_pairs_the_rounds() -> None:
    """A mood that both share, since they run one after the other, does not widen the interval of their ratio."""
    moods = np.linspace(1, 3, 20)[:, None]
    own, repeat = (moods * np.asarray(quiet(seed=seed)) for seed in (1, 2))
    ratio = latency.repeat_ratio(own.tolist(), repeat.tolist())
    assert ratio.value == pytest.approx(1, abs=0.02)
    assert ratio.high - ratio.low < 0.1


def test_lists_of_numbers_are_read_and_others_refused() -> None:
    assert numbers("1,4,1") == (1, 4)
    assert numbers(" 2 ") == (2,)
    for text in ("", "a", "0", "1,-2", "1.5"):
        with pytest.raises(BenchError, match="such as 1,4"):
            numbers(text)
