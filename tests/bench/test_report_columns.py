"""The registry of metrics: one entry is a column of every headline, a line of every comparison, and a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench_reports import report

from bench import compare
from bench.report import tables
from bench.report.columns import REGISTRY, Metric, find_metric, metric_names
from bench.report.page import to_html
from bench.report.types import Row
from bench.rules import parse
from distill.core.errors import BenchError
from distill.core.output.terminal import output
from distill.scoring.estimate import Estimate


def macs(row: Row) -> float | None:
    return None if row.work is None else row.work.float_macs / 1e6


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that nobody has heard of."""
    metric = Metric("macs", "float MACs", macs, "10^6 MACs", "M", 1, "lower", None, missing="nothing was counted")
    monkeypatch.setitem(REGISTRY, "macs", metric)


@pytest.mark.usefixtures("_made_up")
def test_one_entry_is_a_column_in_terminal_markdown_and_page() -> None:
    found = report()
    with output.capture() as terminal:
        tables.show(found)
    for text in (terminal.get(), tables.to_markdown(found), to_html([found])):
        assert "10^6 MACs" in text
        for row in found.rows:
            assert f"{macs(row):.1f}" in text


@pytest.mark.usefixtures("_made_up")
def test_one_entry_is_a_rule_and_a_line_of_a_comparison() -> None:
    old, (*others, own) = report(), report().rows
    assert own.work is not None
    new = replace(old, rows=(*others, replace(own, work=replace(own.work, float_macs=330_000_000))))
    comparison = compare.compare(new, old, parse("macs>+5%,macs>50"))
    assert compare.sentences(comparison) == ["macs>+5% is broken: float MACs 300.0 -> 330.0 M, +10.0%"]
    with output.capture() as terminal:
        compare.show(comparison)
    assert "│ float MACs M " in terminal.get()
    bare = replace(old, rows=(*others, replace(own, work=None)))
    with pytest.raises(BenchError, match="macs>50: no float MACs in the new report: nothing was counted"):
        compare.compare(bare, old, parse("macs>50"))


def test_a_column_without_any_figure_is_left_out_and_one_with_some_shows_dashes() -> None:
    found = report()
    silent = replace(found, rows=tuple(replace(row, joules=None) for row in found.rows))
    assert "J a call" in tables.to_markdown(found)
    assert "| – |" in tables.to_markdown(found)  # torch's rows have none
    assert "J a call" not in tables.to_markdown(silent)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_every_entry_is_read_as_a_number_in_its_unit_or_not_at_all(name: str) -> None:
    metric = REGISTRY[name]
    assert metric.name == name
    assert find_metric(name) is metric
    for row in report().rows:
        figure = metric.read(row)
        assert figure is None or isinstance(figure, float | Estimate)
        if metric.unit == "" and figure is not None:
            assert 0 <= (metric.value(row) or 0) <= 1


def test_names_of_metrics_are_all_different_and_f1_is_micro_f1() -> None:
    assert len(set(metric_names())) == len(metric_names())
    assert find_metric("f1") is REGISTRY["micro_f1"]
    assert find_metric("speed") is None


def test_a_change_that_is_no_chance_has_a_direction() -> None:
    slower, same = report(slower=2), report()
    lines = {line.metric.name: line for line in compare.compare(slower, same, ()).lines if not line.variant}
    assert lines["p50"].trend == "worse"
    assert lines["micro_f1"].trend == ""
    assert {line.metric.name: line for line in compare.compare(same, slower, ()).lines}["p50"].trend == "better"


def test_hierarchical_f1_is_a_column_and_a_rule_of_labels_with_a_hierarchy_alone() -> None:
    names = ("Logos", "Ethos", "Pathos", "Ad Hominem", "Smears", "Doubt", "Slogans", "Justification")
    old, new = report(labels=names), report(labels=names, seed=0)
    assert "hierarchical F1" in str(tables.headline(old.rows))
    assert "hierarchical F1" not in str(tables.headline(report().rows))
    own = new.rows[-1]
    worse = replace(
        new,
        rows=(
            *new.rows[:-1],
            replace(own, quality=replace(own.quality, hierarchical_f1=0.0), decided=((),) * len(own.decided)),
        ),
    )
    (sentence,) = compare.sentences(compare.compare(worse, old, parse("hierarchical_f1<-0.01")))
    assert sentence.startswith("hierarchical_f1<-0.01 is broken: hierarchical F1")
    line = next(each for each in compare.compare(worse, old, ()).lines if each.metric.name == "hierarchical_f1")
    assert line.difference is not None
    assert line.difference.low <= line.difference.value <= line.difference.high < 0
    with pytest.raises(BenchError, match="no hierarchical F1 in the new report: its labels are none of a known"):
        compare.compare(report(), report(), parse("hierarchical_f1<-0.01"))
