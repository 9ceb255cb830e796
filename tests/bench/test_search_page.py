"""The page and the table of a search of students: what they say, and that nothing gets into them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from searches import report

from bench.search import page, plots, tables
from student.search.report import SearchReport


@pytest.fixture(scope="module")
def one() -> SearchReport:
    return report()


@pytest.fixture(scope="module")
def html(one: SearchReport) -> str:
    return page.to_html(one)


def test_the_recommended_one_comes_first_then_finalists_by_time_then_who_left(one: SearchReport) -> None:
    grid = tables.candidates(one)
    assert [row[0] for row in grid.rows] == ["one", "static", "three", "six", "early", "slow"]
    assert grid.emphasis == ("strong", "", "", "", "weak", "weak")
    six, early, slow = grid.rows[3:]
    assert six[1:6] == ("8.00 [7.84, 8.24]", "60.0", "120", "0.500 [0.470, 0.530]", "best")
    assert (early[1][0], early[8], early[9]) == ("~", "1 of 3", "worse than six by more than 0.01, in 1 of 3 folds")
    assert slow[4:] == ("–", "–", "–", "–", "–", "over --max-ms 9")


def test_the_page_shows_every_candidate_its_settings_and_the_reason(one: SearchReport, html: str) -> None:
    assert one.recommendation is not None
    for row in one.rows:
        assert f">{row.name}</th>" in html
    for sentence in one.recommendation.reason:
        assert sentence in html
    assert "student.text.model=encoders/static" in html
    assert one.caveat in html
    assert html.count('class="plot"') == 2
    assert "NOISY" not in html
    assert "NOISY" in page.to_html(report(noisy=True))


def test_the_plots_hold_who_was_judged_on_every_fold_and_what_each_costs(one: SearchReport) -> None:
    assert [row.name for row in plots.shown(one)] == ["six", "three", "one", "static"]
    assert "three 0.496 at 6.00 ms" in plots.against_ms(one).alt
    assert "three 0.496 at 50.0 MB" in plots.against_mb(one).alt


def test_the_page_fetches_nothing_and_a_name_cannot_break_it(one: SearchReport, html: str) -> None:
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org/", "")
    hostile = replace(one.rows[1], name="<script>alert(1)</script>")
    broken = page.to_html(replace(one, rows=(one.rows[0], hostile, *one.rows[2:])))
    assert "<script>" not in broken


def test_a_search_that_recommends_nothing_has_a_page_too(one: SearchReport) -> None:
    from student.search.recommend import no_recommendation

    none = replace(one, recommendation=no_recommendation(one.limits, 0.01))
    assert "None is recommended" in page.to_html(none)
    assert next(tables.sentences(none)) == "Recommended: none"
