"""The sentences of a benchmark's page follow the figures, and its pictures' arithmetic is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench_reports import report

from bench.figures import BenchReport, Estimate
from bench.page_cast import compared, devices
from bench.page_style import OWN
from bench.page_words import answer, cautions
from bench.plots import pareto, points
from bench.svg import apart, fit, log_ticks, width_of


@pytest.fixture(scope="module")
def one() -> BenchReport:
    return report()


def test_the_answer_follows_the_figures(one: BenchReport) -> None:
    own, other = one.own, compared(one)
    assert other is not None
    assert other.name == "student fp32 ONNX"
    times = other.timings[0].p50.value / own.timings[0].p50.value
    assert answer(one).startswith(f"Ship student int8 ONNX: it is {times:.1f} times as fast as student fp32 ONNX")
    assert "no loss of F1 can be told from chance: micro-F1 \N{MINUS SIGN}0.007" in answer(one)
    assert own.difference is not None
    lost = replace(own, difference=replace(own.difference, micro_f1=Estimate(-0.05, -0.08, -0.02)))
    assert "it costs F1, beyond chance" in answer(replace(one, rows=(*one.rows[:-1], lost)))


def test_a_variant_that_is_faster_and_no_worse_is_the_one_to_ship(one: BenchReport) -> None:
    other = one.rows[2]
    p50 = Estimate(5.0, 4.9, 5.1)
    fast = replace(other, timings=(replace(other.timings[0], p50=p50),), quality=one.own.quality)
    assert answer(replace(one, rows=(*one.rows[:2], fast, one.own))).startswith(
        "Ship student fp32 ONNX rather than"
    )


def test_a_constant_that_does_as_well_is_not_kept_quiet(one: BenchReport) -> None:
    strong = replace(one, constant=replace(one.constant, micro_f1=0.9))
    assert any("Always answering" in said for said in cautions(strong))
    assert not any(
        "Always answering" in said for said in cautions(replace(one, constant=replace(one.constant, micro_f1=0.1)))
    )


def test_the_pareto_front_is_what_nothing_beats(one: BenchReport) -> None:
    found = devices([one])
    front = [point.name for point in pareto(points(found, {row.name: OWN for row in one.rows}, "micro"))]
    beaten = {
        a.name
        for a in one.rows
        for b in one.rows
        if b is not a
        and b.timings[0].p50.value <= a.timings[0].p50.value
        and b.quality.micro_f1 >= a.quality.micro_f1
    }
    assert set(front) == {row.name for row in one.rows} - beaten


def test_names_are_shortened_in_the_middle_and_kept_apart() -> None:
    short = fit("a very long name of a variant (run-2)", 100, 10)
    assert width_of(short, 10) <= 110
    assert short.startswith("a v")
    assert short.endswith("2)")
    places = apart([5.0, 5.0, 6.0, 50.0], 10, 60)
    assert np.diff(sorted(places)).min() >= 10
    assert apart([0.0, 20.0], 10, 60) == [0.0, 20.0]


@pytest.mark.parametrize(("low", "high"), [(13.0, 14.0), (13, 180), (0.9, 1.1), (0.01, 5e4)])
def test_a_logarithmic_axis_has_neither_too_few_nor_too_many_ticks(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 13
    assert all(low <= tick <= high for tick in ticks)
