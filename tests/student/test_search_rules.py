"""What a search of students does with numbers: who leaves a round, and which one is recommended. By hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from searches import NO_LIMITS, entrant, out, report, verdict

from distill.scoring.estimate import Estimate
from student.search.halving import Entrant, beats, best_of, halve, rounds_of, trainings_of
from student.search.recommend import no_recommendation, recommend
from student.search.report import Cost, Limits, Recommendation

BEST = entrant("best", 10, 60, 0.50, 0.05)


def choose(*finalists: Entrant, max_drop: float = 0.01) -> Recommendation:
    best = best_of(finalists)
    verdicts = {each.name: verdict(each, best, max_drop) for each in finalists if each is not best}
    return recommend(finalists, verdicts, best.name, NO_LIMITS, max_drop)


def test_rounds_double_the_folds_and_the_last_has_all() -> None:
    assert [rounds_of(folds) for folds in (1, 2, 3, 4, 5, 8)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4],
        [1, 2, 4, 5],
        [1, 2, 4, 8],
    ]


def test_trainings_are_those_of_halves_of_halves_and_of_the_finalists() -> None:
    assert trainings_of(8, 3) == 8 * 1 + 4 * 1 + 2 * 1 + 1
    assert trainings_of(23, 5) == 23 * 1 + 12 * 1 + 6 * 2 + 3 * 1 + 2


def test_who_is_shown_to_be_worse_is_out_however_cheap() -> None:
    """The interval of its difference ends at 0.44 + 0.045 - 0.50 = -0.015: below -0.01, and not below -0.02."""
    cheap = entrant("cheap", 1, 5, 0.44, 0.005)
    assert out([BEST, cheap]) == {"cheap": "worse than best by more than 0.01"}
    assert out([BEST, cheap], max_drop=0.02) == {}


def test_who_is_cheaper_than_all_that_beat_it_stays_though_it_is_the_last() -> None:
    """Four of four stay: each is cheaper than all with a higher F1, halving by F1 would drop what may win."""
    ladder = [BEST, *(entrant(f"{i}", 10 - 2 * i, 60 - 9 * i, 0.50 - 0.01 * i) for i in range(1, 5))]
    assert out(ladder) == {}


def test_of_those_that_another_beats_at_no_more_cost_the_nearest_fill_the_half() -> None:
    """Six entrants, three may stay: best is on the front, and of five behind it the two that lack least."""
    behind = [entrant(f"{lost:g}", 11, 61, 0.50 - lost) for lost in (0.01, 0.03, 0.02, 0.05, 0.04)]
    reasons = out([BEST, *behind])
    assert set(reasons) == {"0.03", "0.05", "0.04"}
    assert set(reasons.values()) == {"behind best, which costs no more"}


def test_what_is_slower_by_noise_alone_or_larger_does_not_save_a_candidate_and_a_smaller_file_does() -> None:
    rival = entrant("rival", 10.4, 60, 0.52)
    assert beats(rival, entrant("a", 10, 60, 0.50))  # 4 % apart is as quick
    assert not beats(rival, entrant("a", 9.8, 60, 0.50))
    assert not beats(rival, entrant("a", 10, 59, 0.50))
    assert not beats(rival, entrant("a", 11, 61, 0.53))


def test_of_two_with_the_same_f1_the_cheaper_beats_the_other_and_never_both_each_other() -> None:
    a, b = entrant("a", 5, 50, 0.5), entrant("b", 6, 50, 0.5)
    assert (beats(a, b), beats(b, a), beats(a, replace(a, name="twin"))) == (True, False, False)
    assert best_of([b, a]) is a


def test_a_round_says_each_ones_difference_from_the_best() -> None:
    fates = halve([entrant("a", 1, 1, 0.47, 0.02), BEST], 0.01)
    gain = fates[0].gain
    assert (gain.value, gain.low, gain.high) == pytest.approx((-0.03, -0.06, 0.0))
    assert (fates[1].gain.low, fates[1].gain.high) == (0, 0)


def test_one_alone_stays() -> None:
    assert out([BEST]) == {}


def test_the_quickest_that_is_not_worse_is_recommended_with_its_reason() -> None:
    """a lies in [-0.015, +0.005], too wide; b in [-0.009, +0.001] and c in [-0.006, +0.002], not worse by 0.01."""
    a = entrant("a", 2, 10, 0.495, 0.04)
    b = entrant("b", 4, 20, 0.496, 0.045)
    c = entrant("c", 6, 30, 0.498, 0.046)
    chosen = choose(BEST, a, b, c)
    assert (chosen.name, chosen.best, chosen.not_worse) == ("b", "best", ("best", "b", "c"))
    said = " ".join(chosen.reason)
    assert "b is the quickest that is shown not to be worse than the best, best, by more than 0.01" in said
    assert "balanced F1 -0.004 [-0.009, +0.001]" in said
    assert "4.00 ms and 20.0 MB, the best 10.00 ms and 60.0 MB: 2.5 times its time and 3 times its size" in said


def test_a_larger_drop_lets_a_quicker_one_win() -> None:
    a = entrant("a", 2, 10, 0.495, 0.04)
    assert choose(BEST, a).name == "best"
    assert choose(BEST, a, max_drop=0.02).name == "a"


def test_where_none_qualifies_the_best_is_recommended_and_it_is_said_how_many_examples_it_takes() -> None:
    chosen = choose(BEST, entrant("a", 2, 10, 0.495, 0.01))
    assert chosen.name == chosen.best == "best"
    assert chosen.reason[0].startswith("The one quicker finalist may be worse than best")
    assert "takes about" in chosen.reason[1]
    assert "--max-f1-drop" in chosen.reason[1]


def test_where_the_best_is_the_quickest_there_is_nothing_to_weigh() -> None:
    chosen = choose(BEST, entrant("a", 12, 70, 0.4))
    assert chosen.reason == ("best has the highest F1, and none of the finalists is quicker.",)


def test_of_those_that_are_as_quick_the_smaller_is_recommended() -> None:
    large, small = entrant("large", 4.0, 30, 0.499, 0.05), entrant("small", 4.1, 12, 0.498, 0.05)
    chosen = choose(BEST, large, small)
    assert chosen.name == "small"
    assert chosen.reason[-1] == "large is as quick, within 5%, and larger."
    assert choose(BEST, large, entrant("small", 4.3, 12, 0.498, 0.05)).name == "large"


def test_a_limit_is_certain_only_where_the_whole_interval_is_over_it() -> None:
    cost = Cost(Estimate(8.2, 7.9, 8.6), 40_100_000, 1)
    assert Limits(8).over(cost, certain=True) == ""
    assert Limits(8).over(cost, certain=False) == "over --max-ms 8: 8.20 [7.90, 8.60] ms"
    assert Limits(7.5).over(cost, certain=True) == "over --max-ms 7.5: 8.20 [7.90, 8.60] ms"
    assert Limits(None, 40).over(cost, certain=True) == "over --max-mb 40: 40.1 MB"
    assert Limits(9, 41).over(cost, certain=False) == Limits().over(cost, certain=True) == ""


def test_where_all_are_over_a_limit_nothing_is_recommended() -> None:
    none = no_recommendation(Limits(3, 20), 0.01)
    assert none.name is None
    assert none.reason[-1] == "Limits: --max-ms 3, --max-mb 20."


def test_the_report_knows_its_choice_and_is_plain_json() -> None:
    import json

    one = report()
    assert one.chosen is not None
    assert one.recommendation is not None
    assert one.chosen.name == one.recommendation.name
    tree = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert [row["name"] for row in tree["rows"]] == ["six", "three", "one", "static", "slow", "early"]
    assert "flatters" in tree["caveat"]
    assert np.isclose(tree["rows"][1]["verdict"]["gain"]["value"], -0.004)
