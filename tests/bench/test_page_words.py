"""The sentences of a benchmark's page follow the figures, and its images' arithmetic is right."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from bench_reports import report

from bench.report.kit.plot import apart, log_ticks
from bench.report.kit.style import OTHERS, OWN
from bench.report.kit.text import fit, width_of
from bench.report.page.devices import devices_of, reference
from bench.report.page.plots import pareto, points
from bench.report.page.sentences import answer, cautions
from bench.report.types import BenchReport
from distill.scoring.estimate import Estimate


@pytest.fixture(scope="module")
def one() -> BenchReport:
    return report()


def test_the_answer_follows_the_figures(one: BenchReport) -> None:
    own, other = one.own, reference(one)
    assert other is not None
    assert other.name == "student fp32 ONNX"
    times = other.timings[0].p50.value / own.timings[0].p50.value
    assert answer(one).startswith(f"Ship student int8 ONNX: it is {times:.1f} times as fast as student fp32 ONNX")
    assert "no loss of F1 can be told from chance: micro-F1 -0.007 [-0.031, +0.012]" in answer(one)
    lost = replace(own, differences=(replace(own.differences[0], micro_f1=Estimate(-0.05, -0.08, -0.02)),))
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
    found = devices_of([one])
    front = [point.name for point in pareto(points(found, {row.name: OWN for row in one.rows}, "micro"))]
    beaten = {
        a.name
        for a in one.rows
        for b in one.rows
        if b is not a
        and b.timings[0].p50.value <= a.timings[0].p50.value
        and b.quality.micro_f1.value >= a.quality.micro_f1.value
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


# Machado et al. 2009, severity 1, on linear RGB; then linear sRGB to CIE XYZ under D65, over its white.
SIGHT = {
    "full": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8728]])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", list(SIGHT))
def test_colours_of_variants_stay_apart_for_colour_blind_eyes(theme: str, sight: str) -> None:
    seen = [lab(getattr(colour, theme), np.array(SIGHT[sight])) for colour in (OWN, *OTHERS)]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) >= 12


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIELAB of a hex colour as it is seen: (3,); a distance of 2.3 is just noticed."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(sight @ linear, 0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
