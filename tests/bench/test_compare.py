"""Two benchmark reports against each other: hand-computed cases, scikit-learn, and rules that anybody may write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from bench.compare import Comparison, Line, compare, sentences, show
from bench.report import types as figures
from bench.report.columns import REGISTRY
from bench.report.measured import ColdStart, Memory, Resident, Timing
from bench.report.types import BenchReport, Conditions, Machine, Noise, Row
from bench.rules import Rule, parse
from distill.core.errors import BenchError
from distill.core.output.terminal import output
from distill.core.storage.files import write_json
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import ConstantBaseline, measure_decisions

LABELS = ("irony", "smears", "doubt")
Indices = tuple[tuple[int, ...], ...]
GOLD: Indices = ((0,), (0, 1), (2,), (), (1,)) * 8
GOOD: Indices = ((0,), (0, 1), (2,), (), (0,)) * 8  # per five examples TP 4, FP 1, FN 1: micro-F1 0.8
POOR: Indices = ((0,), (0,), (2,), (), (0,)) * 8  # TP 3, FP 1, FN 2: micro-F1 6/9
CALM = ((9.0, 10.0, 11.0),) * 6


def hot(rows: Indices) -> np.ndarray:
    return np.array([[float(label in row) for label in range(len(LABELS))] for row in rows], dtype=np.float32)


def timing(rounds: Sequence[tuple[float, ...]]) -> Timing:
    p50, p90 = (float(np.percentile(np.concatenate(rounds), q)) for q in (50, 90))
    return Timing(1, 1, Estimate(p50, p50, p50), Estimate(p90, p90, p90), None, 0.0, tuple(rounds))


def row(name: str, decided: Indices = GOOD, rounds: Sequence[tuple[float, ...]] = CALM, own: bool = False) -> Row:
    thresholds = np.full(len(LABELS), 0.5, dtype=np.float32)
    quality = measure_decisions(LABELS, hot(GOLD), np.float32(0.8) * hot(decided), hot(decided) > 0, thresholds)
    held = Resident(150_000_000, None)
    return Row(
        name=name,
        runtime="onnxruntime",
        own=own,
        size_bytes=20_000_000,
        timings=(timing(rounds),),
        stages=(),
        cold=ColdStart(800.0, 400.0, 200.0, 50.0, (800.0,) * 5),
        memory=Memory(held, 160_000_000, held, 200_000_000, False, None),
        joules=None,
        work=None,
        quality=quality,
        quality_own_thresholds=None,
        quality_text_alone=quality,
        quality_image_alone=quality,
        thresholds="tuned on dev",
        reliability=(),
        differences=(),
        decided=decided,
    )


def report(
    decided: Indices = GOOD, rounds: Sequence[tuple[float, ...]] = CALM, others: tuple[Row, ...] = ()
) -> BenchReport:
    machine = Machine("board", "Cortex-A76", (), "arm", 4, 4.0, "all", None, None, "Linux aarch64", None)
    packages = {"onnxruntime": "1.22.0", "numpy": "2.1.0"}
    return BenchReport(
        machine=machine,
        conditions=Conditions("2026-01-01", "3.12", "0.1.0", None, packages, "off", "test", len(GOLD), "ab", 18, 3),
        noise=Noise("quiet", Estimate(1.0, 1.0, 1.0), ()),
        peaks=(),
        labels=LABELS,
        gold=GOLD,
        constant=ConstantBaseline(("irony",), 0.5, 0.2, 0.2),
        rows=(row("mine", decided, rounds, own=True), *others),
    )


def own(one: BenchReport, **changes: object) -> BenchReport:
    """The report with the own row changed."""
    return replace(one, rows=(replace(one.own, **changes), *one.rows[1:]))  # type: ignore[arg-type]


def line(comparison: Comparison, metric: str) -> Line:
    return next(found for found in comparison.lines if found.metric.name == metric and not found.variant)


def shown(comparison: Comparison) -> str:
    with output.capture() as text:
        show(comparison)
    return text.get()


def test_a_rule_is_a_metric_a_side_and_a_signed_change() -> None:
    assert parse(" f1<-0.01, p50 > +10% ,disk>2,ece>.5e-2") == (
        Rule("f1<-0.01", REGISTRY["micro_f1"], True, -0.01, False),
        Rule("p50 > +10%", REGISTRY["p50"], False, 0.1, True),
        Rule("disk>2", REGISTRY["disk"], False, 2.0, False),
        Rule("ece>.5e-2", REGISTRY["ece"], False, 0.005, False),
    )


@pytest.mark.parametrize("metric", REGISTRY)
def test_every_metric_can_be_in_a_rule(metric: str) -> None:
    assert [rule.metric.name for rule in parse(f"{metric}>0.1")] == [metric]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is not a rule: write METRIC.* such as f1<-0.01"),
        ("f1<-0.01,", "'' is not a rule"),
        ("f1", "'f1' is not a rule"),
        ("f1=0.1", "'f1=0.1' is not a rule"),
        ("f1<=0.1", "'f1<=0.1' is not a rule"),
        ("p50>+10%%", "'p50>.10%%' is not a rule"),
        ("p50>nan", "'p50>nan' is not a rule"),
        ("p50>-inf", "'p50>-inf' is not a rule"),
        ("p50>1e999", "'p50>1e999': 1e999 is too large"),
        ("disk>1,speed>1", "'speed>1': unknown metric 'speed'; expected one of f1, micro_f1, .*, disk"),
        ("flips<0.1", "write flips>0.02"),
        ("flips>2%", "write flips>0.02"),
        ("flips>-0.1", "write flips>0.02"),
        ("f1<-1", "f1 is in 0..1, where nothing differs by -1"),
    ],
)
def test_a_piece_that_is_no_rule_is_named_with_an_example(text: str, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        parse(text)


@given(st.one_of(st.text(), st.text(alphabet="f1p509lis<>+-%.,e \tnaif∞٣", max_size=12)))
def test_any_text_is_rules_or_a_bench_error(text: str) -> None:
    try:
        rules = parse(text)
    except BenchError:
        return
    assert len(rules) == text.count(",") + 1
    assert all(np.isfinite(rule.bound) for rule in rules)


@given(
    st.sampled_from([metric for metric in REGISTRY if metric != "flips"]),
    st.sampled_from("<>"),
    st.floats(-0.99, 0.99),
    st.sampled_from(["", "%"]),
)
def test_whatever_number_python_writes_is_read_back(metric: str, sign: str, number: float, percent: str) -> None:
    (rule,) = parse(f"{metric}{sign}{number!r}{percent}")
    assert rule == Rule(rule.text, rule.metric, sign == "<", number / (100 if percent else 1), bool(percent))
    assert rule.metric.name == metric


def test_a_report_against_itself_differs_in_nothing_and_keeps_every_rule(tmp_path: Path) -> None:
    write_json(tmp_path / "bench.json", report().to_json())
    same = figures.read(tmp_path / "bench.json")
    comparison = compare(same, report(), parse("f1<0,macro_f1<0,p50>0%,p90>0,cold>0,peak>0,flips>0"))
    assert not comparison.broken
    assert sentences(comparison) == ["all 7 rules hold"]
    assert [found.difference.value for found in comparison.lines if found.difference] == [0.0] * 11  # no p99
    assert (comparison.warnings, comparison.notes) == ((), ())


def test_f1_differences_agree_with_sklearn() -> None:
    comparison = compare(report(POOR), report(GOOD), ())
    for metric, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
        poor, good = (f1_score(hot(GOLD), hot(rows), average=average, zero_division=0) for rows in (POOR, GOOD))
        found = line(comparison, metric).difference
        assert found is not None
        assert found.value == pytest.approx(poor - good)


def test_the_f1_interval_agrees_with_drawing_pairs_of_examples_for_sklearn() -> None:
    generator, values = np.random.default_rng(7), []
    for _ in range(400):
        pick = generator.integers(len(GOLD), size=len(GOLD))
        poor, good = (
            f1_score(hot(GOLD)[pick], hot(rows)[pick], average="micro", zero_division=0) for rows in (POOR, GOOD)
        )
        values.append(poor - good)
    found = line(compare(report(POOR), report(GOOD), ()), "micro_f1").difference
    assert found is not None
    assert found.bounded
    assert (found.low, found.high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.02)


def test_a_broken_f1_rule_says_both_values_the_difference_and_its_interval() -> None:
    comparison = compare(report(POOR), report(GOOD), parse("f1<-0.01,disk>1"))
    assert comparison.broken
    (sentence,) = sentences(comparison)
    assert sentence.startswith("f1<-0.01 is broken: micro-F1 0.800 -> 0.667, -0.133 [-0.")
    assert "noise" not in sentence


def test_flips_are_the_share_of_other_decisions() -> None:
    comparison = compare(report(POOR), report(GOOD), parse("flips>0.05"))
    (verdict,) = comparison.verdicts
    assert verdict.change.value == pytest.approx(8 / (40 * 3))  # one label of one example in five
    assert sentences(comparison)[0].startswith("flips>0.05 is broken: flips 0.067 [0.0")


def test_times_that_are_a_fifth_longer_are_20_percent_slower_in_every_draw() -> None:
    slower = tuple(tuple(1.2 * ms for ms in part) for part in CALM)
    comparison = compare(report(rounds=slower), report(), parse("p50>+10%,p50>1.5,p90>+50%,p90>1"))
    assert sentences(comparison) == [
        "p50>+10% is broken: p50 10.00 -> 12.00 ms, +20.0% [+20.0%, +20.0%]",
        "p50>1.5 is broken: p50 10.00 -> 12.00 ms, +2.00 [+2.00, +2.00]",
        "p90>1 is broken: p90 11.00 -> 13.20 ms, +2.20 [+2.20, +2.20]",
    ]


def test_the_interval_of_a_ratio_of_medians_agrees_with_drawing_whole_rounds() -> None:
    generator = np.random.default_rng(3)
    new, old = (
        [tuple(mood * generator.uniform(8, 12, size=5)) for mood in generator.uniform(1, 1.5, size=8)]
        for _ in range(2)
    )

    def median(rounds: list[tuple[float, ...]]) -> float:
        return float(np.median([rounds[i] for i in generator.integers(len(rounds), size=len(rounds))]))

    expected = np.percentile([median(new) / median(old) - 1 for _ in range(4000)], [2.5, 97.5])
    found = line(compare(report(rounds=new), report(rounds=old), ()), "p50").relative
    assert found is not None
    assert found.bounded
    assert (found.low, found.high) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(
    ("metric", "changes", "sentence"),
    [
        ("disk", {"size_bytes": 21_500_000}, "disk>1 is broken: disk 20.0 -> 21.5 MB, +1.5"),
        (
            "cold",
            {"cold": ColdStart(2800.0, 400.0, 200.0, 50.0, (2800.0,) * 5)},
            "cold>1 is broken: cold 0.80 -> 2.80 s, +2.00 [+2.00, +2.00]",
        ),
        (
            "peak",
            {"memory": replace(report().own.memory, peak_bytes=203_000_000)},
            "peak>1 is broken: peak 200.0 -> 203.0 MB, +3.0",
        ),
        (
            "steady",
            {"memory": replace(report().own.memory, steady=Resident(155_000_000, 1))},
            "steady>1 is broken: steady 150.0 -> 155.0 MB, +5.0",
        ),
    ],
)
def test_a_rule_is_in_the_metrics_own_unit(metric: str, changes: dict[str, object], sentence: str) -> None:
    assert sentences(compare(own(report(), **changes), report(), parse(f"{metric}>1"))) == [sentence]


def test_a_change_of_exactly_the_bound_holds_and_one_beside_it_is_told_from_it() -> None:
    old = own(report(), quality=replace(report().own.quality, micro_f1=Estimate.unbounded(0.53)))
    for f1, broken in ((0.52, False), (0.5199, True)):
        new = own(report(), quality=replace(report().own.quality, micro_f1=Estimate.unbounded(f1)))
        comparison = compare(new, old, parse("f1<-0.01"))
        assert comparison.broken is broken
    assert "-0.0101" in sentences(comparison)[0]


def test_a_time_rule_broken_within_the_noise_is_broken_and_says_so() -> None:
    moody = tuple((ms,) * 3 for ms in (9.0, 9.5, 12.0, 12.5, 9.2, 13.0))
    (sentence,) = sentences(compare(report(rounds=moody), report(), parse("p50>+5%")))
    assert sentence.endswith("; within the noise; measure again")


def test_a_time_rule_broken_in_a_noisy_report_names_the_report() -> None:
    slower = tuple(tuple(2 * ms for ms in part) for part in CALM)
    old = replace(report(), noise=Noise("noisy", Estimate(1.3, 1.2, 1.4), ("the repeat took 1.3 times as long",)))
    comparison = compare(report(rounds=slower), old, parse("p50>+5%,f1<-0.1"))
    assert comparison.broken
    (sentence,) = sentences(comparison)
    assert sentence.endswith("; noisy (old): perhaps within the noise; measure again")
    assert comparison.notes == ("the old report is noisy: the repeat took 1.3 times as long",)


def test_few_rounds_give_no_interval_and_a_broken_rule_says_so() -> None:
    (sentence,) = sentences(compare(report(rounds=((12.0, 12.0),) * 4), report(), parse("p50>+5%")))
    assert sentence == (
        "p50>+5% is broken: p50 10.00 -> 12.00 ms, +20.0%; too few rounds to tell it from the noise; "
        "measure again with more"
    )


def on(
    cpu: str = "Cortex-A76",
    int8_target: str = "arm",
    threads: int = 1,
    batch: int = 1,
    flags: tuple[str, ...] = (),
) -> BenchReport:
    one = own(report(), timings=(replace(timing(CALM), threads=threads, batch=batch),))
    return replace(one, machine=replace(one.machine, cpu=cpu, int8_target=int8_target, flags=flags))


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (on(cpu="Ryzen"), "CPU Ryzen against Cortex-A76"),
        (on(int8_target="vnni"), "int8 target of Cortex-A76 vnni against arm"),
        (on(flags=("amx_int8",)), "int8 target of Cortex-A76 arm, AMX against arm"),
        (on(threads=4), "threads 4 against 1"),
        (on(batch=8), "batch 8 against 1"),
    ],
)
def test_times_of_two_machines_are_refused_in_a_rule_and_warned_of_without(new: BenchReport, words: str) -> None:
    for metric in ("p50", "p90", "p99", "cold", "steady", "peak"):
        with pytest.raises(BenchError, match=f"{metric}>1: times and memory cannot be compared: {words}"):
            compare(new, report(), parse(f"f1<-0.1,{metric}>1"))
    comparison = compare(new, report(), parse("f1<-0.1,disk>1"))
    assert not comparison.broken
    assert words in "".join(comparison.warnings)
    assert "other machine" in shown(comparison)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            replace(report(), conditions=replace(report().conditions, examples_sha256="cd", split="dev")),
            r"different examples \(40 of dev against 40 of test\)",
        ),
        (replace(report(), labels=("irony", "doubt", "smears")), "other labels"),
        (replace(report(), gold=GOOD), "other gold labels"),
    ],
)
def test_quality_on_other_examples_is_refused_in_a_rule_and_said_without(new: BenchReport, words: str) -> None:
    for metric in ("f1", "macro_f1", "micro_ap", "ece", "flips"):
        with pytest.raises(BenchError, match=f"{words}.*; run distill bench with the same --data and --split"):
            compare(new, report(), parse(f"{metric}>0.1"))
    comparison = compare(new, report(), parse("p50>1"))
    assert line(comparison, "flips").difference is None
    assert line(comparison, "micro_f1").difference is not None
    assert "other examples" in shown(comparison)


def test_a_percentile_of_too_few_calls_asks_for_more() -> None:
    with pytest.raises(BenchError, match="p99>1: no p99 in the new report: too few calls; give it more --calls"):
        compare(report(), report(), parse("p99>1"))


def test_no_share_is_taken_of_nothing() -> None:
    old = own(report(), quality=replace(report().own.quality, ece=0.0))
    with pytest.raises(BenchError, match=r"ece>10%: 0\.0 -> .* has no relative change; write the rule without %"):
        compare(report(), old, parse("ece>10%"))


def test_no_relative_interval_is_drawn_where_the_old_f1_may_be_nothing() -> None:
    once: Indices = ((0,), *((),) * 39)  # a third of the draws leaves out the only hit
    found = line(compare(report(GOOD), report(once), ()), "micro_f1")
    assert found.difference is not None
    assert found.difference.bounded
    assert found.relative is not None
    assert not found.relative.bounded


def test_other_variants_are_found_by_name_and_no_rule_is_for_them() -> None:
    slow = ((30.0, 30.0),) * 5
    new = own(report(others=(row("fp32 [x]", POOR), row("added"))), name="gone")  # own now, another variant then
    old = report(others=(row("gone"), row("fp32 [x]", GOOD, slow)))
    comparison = compare(new, old, parse("p50>1"))
    found = [(one.variant, one.metric.name, one.old) for one in comparison.lines if one.variant]
    assert found == [("fp32 [x]", "micro_f1", pytest.approx(0.8)), ("fp32 [x]", "p50", 30.0)]
    assert sentences(comparison) == ["the rule holds"]
    assert "fp32 [x] p50 ms" in shown(comparison)


def test_what_else_differs_is_noted_below_the_table() -> None:
    packages = {"onnxruntime": "1.23.0", "numpy": "2.1.0", "openvino": "2025.1"}
    conditions = replace(report().conditions, packages=packages, calls=60)
    new = own(replace(report(), conditions=conditions), thresholds="0.5")
    comparison = compare(new, report(), ())
    assert comparison.notes == (
        "calls: 18 -> 60",
        "thresholds: tuned on dev -> 0.5",
        "onnxruntime: 1.22.0 -> 1.23.0",
        "openvino: absent -> 2025.1",
    )
    assert sentences(comparison) == []
    assert all(note in shown(comparison) for note in comparison.notes)


def test_the_table_holds_every_metric_and_what_became_of_its_rules() -> None:
    text = shown(compare(report(POOR), report(GOOD), parse("f1<-0.01,f1<-50%,disk>1")))
    for name in ("micro-F1", "macro-F1", "micro-AP", "ECE", "flips", "p90 ms", "cold s", "peak MB", "disk MB"):
        assert f"│ {name} " in text
    assert "f1<-0.01 is broken, f1<-50% holds" in text
    assert "disk>1 holds" in text
