"""The campaign's short form: a few inputs of each kind, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import Chain

from campaign.fuzz import fuzz
from campaign.metamorphic import compare
from campaign.outcome import Tally, Wrong, summary
from campaign.streams import break_streams
from campaign.subject import Subject
from campaign.targets import check_message
from campaign.writers import disturb

SEED = 13
LONG_S = 600  # what is counted ends long before
QUICK = ("predict", "split", "verify")


@pytest.fixture
def subject(chain: Chain) -> Subject:
    return Subject(chain.data, tuple(chain.words()), chain.teacher, chain.student, chain.fp32, chain.int8)


@pytest.mark.slow
def test_what_strangers_send_is_read_or_refused_in_one_line_within_limits(subject: Subject, tmp_path: Path) -> None:
    tally = Tally("fuzz", tmp_path)
    fuzz(tally, subject, LONG_S, 60, SEED)
    assert tally.failures == [], summary([tally])
    assert sum(tally.tried.values()) > 800


@pytest.mark.slow
def test_answers_do_not_depend_on_form_order_or_company(subject: Subject, tmp_path: Path) -> None:
    tally = Tally("metamorphic", tmp_path)
    compare(tally, subject, LONG_S, SEED, rounds=6)
    assert tally.failures == [], summary([tally])


@pytest.mark.slow
def test_of_two_writers_and_a_killer_one_whole_result_is_left(subject: Subject, tmp_path: Path) -> None:
    tally = Tally("writers", tmp_path)
    disturb(tally, subject, LONG_S, SEED, QUICK, rounds=3)
    assert tally.failures == [], summary([tally])


@pytest.mark.slow
def test_broken_standard_streams_end_in_one_line(subject: Subject, tmp_path: Path) -> None:
    tally = Tally("streams", tmp_path)
    break_streams(tally, subject, LONG_S, SEED, (*QUICK, "no such Bundle", "predict one"), count=14)
    assert tally.failures == [], summary([tally])


def test_an_error_of_two_lines_or_of_thousands_of_characters_is_a_failure() -> None:
    for text in ("a\nb", "a" * 3000):
        with pytest.raises(Wrong):
            check_message(text)
    check_message("rows.json: row 1: has no 'id'")


def test_of_failures_that_look_alike_three_are_kept_each_with_a_file(tmp_path: Path) -> None:
    tally = Tally("fuzz", tmp_path)
    for number in range(5):
        tally.fail("rows.json", f"too slow, {number}", bytes([number]), ".bin", "too slow")
    assert [len(tally.failures), len(list(tmp_path.iterdir()))] == [3, 3]
    assert "fuzz rows.json: too slow, 0" in summary([tally])
