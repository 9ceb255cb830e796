"""The tables of speed, against figures computed by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench_reports import report

from bench.measure import latency
from bench.report import speed, types
from bench.report.kit.grid import Grid
from bench.report.measured import Peak, Work
from bench.report.types import BenchReport
from distill.core.errors import BenchError


def cells(grid: Grid | None, row: int) -> dict[str, str]:
    """A line of a table by its headings."""
    assert grid is not None
    return dict(zip(grid.headings, grid.rows[row], strict=True))


def with_work(weight_bytes: int | None, read_gb_s: float | None) -> BenchReport:
    """One thread, and a model of 10^9 int8 and 5 x 10^7 fp32 products for which it takes 12 ms."""
    made = report(threads=(1, 2), batches=(), calls=100)
    work = Work(25, 1_000_000_000, 50_000_000, 12.0, 6.0, 0.5, weight_bytes)
    rows = (*(replace(row, work=None) for row in made.rows[:-1]), replace(made.own, work=work))
    peaks = (Peak(1, 1, 1, 1, 400.0, 100.0, read_gb_s), Peak(2, 1, 1, 1, 800.0, 200.0, read_gb_s))
    return replace(made, rows=rows, peaks=peaks)


def test_the_nearer_limit_is_what_takes_longer_and_its_share_is_reached() -> None:
    """2 x 10^9 operations at 400 Gop/s take 5 ms and 10^8 at 100 take 1; 60 MB at 20 GB/s take 3 and 200 MB 10."""
    found = cells(speed.limit(with_work(60_000_000, 20.0)), 0)
    assert (found["products ms"], found["reading ms"], found["weights MB"]) == ("6.0", "3.0", "60.0")
    assert (found["limit"], found["reached"], found["one after the other"]) == ("arithmetic", "50%", "75%")
    assert found["Gop/s"] == "175.0"
    found = cells(speed.limit(with_work(200_000_000, 20.0)), 0)
    assert (found["limit"], found["reached"], found["one after the other"]) == ("memory", "83%", "133%")


def test_the_limit_of_more_threads_is_beside_the_time_of_the_model_alone_with_them() -> None:
    made = with_work(200_000_000, 20.0)
    found = cells(speed.limit(made), 1)
    alone = made.own.timings[1].model_p50
    assert alone is not None
    assert (found["threads"], found["products ms"], found["reading ms"]) == ("2", "3.0", "10.0")
    assert (found["model ms"], found["reached"]) == (f"{alone:.1f}", f"{10 / alone:.0%}")


def test_a_report_without_the_speed_of_memory_shows_the_limit_of_arithmetic() -> None:
    for made in (with_work(None, 20.0), with_work(60_000_000, None)):
        found = cells(speed.limit(made), 0)
        assert (found["limit"], found["reached"], found["reading ms"]) == ("arithmetic", "50%", "–")


def test_ratios_are_of_pairs_of_rounds_in_every_setting_and_of_the_best_of_each_runtimes_ways() -> None:
    """The machine slows down fivefold from the first round to the last; each pair of rounds has the same ratio."""
    made = report(threads=(1, 2), batches=(), calls=100)
    slows = [(float(n),) * 20 for n in range(1, 6)]
    own = [replace(timing, raw_ms=tuple(slows)) for timing in made.own.timings]
    ours = latency.stream(2, 1, "ours", 40, [1.0] * 5), latency.stream(2, 8, "ours", 40, [2.0] * 5)
    rows = []
    for row, ratio in zip(made.rows[:-1], (2.0, 3.0, 0.5), strict=True):
        timings = [
            replace(t, raw_ms=tuple(tuple(ratio * ms for ms in part) for part in slows)) for t in row.timings
        ]
        theirs = latency.stream(2, 1, "t", 40, [9.0] * 5), latency.stream(2, 8, "t", 80, [2 * ratio] * 5)
        rows.append(replace(row, timings=tuple(timings), streams=theirs))
    made = replace(made, rows=(*rows, replace(made.own, timings=tuple(own), streams=ours)))
    grid = speed.faster(made)
    for line, ratio in enumerate(("2.00", "3.00", "0.50")):
        found = cells(grid, line)
        assert list(found)[1:] == ["1 thread, batch 1", "2 threads, batch 1", "2 threads, many at once"]
        assert found["2 threads, batch 1"].startswith(f"{ratio} [")
        assert found["2 threads, many at once"] == f"{ratio} [{ratio}, {ratio}]"


def test_few_rounds_have_no_interval() -> None:
    made = report(calls=80)  # four rounds
    few = [replace(r, streams=tuple(replace(s, seconds=s.seconds[:4]) for s in r.streams or ())) for r in made.rows]
    made = replace(made, rows=tuple(few))
    assert not any("[" in cell for row in speed.faster(made).rows for cell in row)  # type: ignore[union-attr]
    assert not any("[" in cell for row in speed.streams(made).rows for cell in row)  # type: ignore[union-attr]


def test_one_variant_alone_is_no_faster_than_any() -> None:
    made = report()
    assert speed.faster(replace(made, rows=(made.own,))) is None


def test_posts_a_second_are_those_of_the_median_round() -> None:
    stream = latency.stream(2, 8, "2 workers", 40, [4.0, 2.0, 5.0, 4.0, 4.0])
    assert stream.posts_per_s.value == pytest.approx(10.0)
    assert stream.posts_per_s.low == pytest.approx(8.0, abs=2)
    assert stream.per_post_s == ((0.1,), (0.05,), (0.125,), (0.1,), (0.1,))
    found = cells(speed.streams(report()), 3)
    assert found["how"] == "2 workers"
    assert found["one by one [95 %]"].startswith(f"{1800 / 14.0:.0f} [")


def test_a_report_of_schema_5_is_read_and_lacks_what_it_did_not_measure(tmp_path: Path) -> None:
    tree = json.loads(json.dumps(report().to_json()))
    tree["schema"] = 5
    for row in tree["rows"]:
        del row["streams"], row["work"]["weight_bytes"]
        for timing in row["timings"]:
            del timing["model_raw_ms"]
    for peak in tree["peaks"]:
        del peak["read_gb_s"]
    del tree["conditions"]["images"]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(tree))
    old = types.read(path)
    assert (speed.alone(old), speed.streams(old)) == (None, None)
    assert "many at once" not in str(speed.faster(old))
    assert len(old.rows) == len(speed.limit(old).rows)  # type: ignore[union-attr]
    tree["schema"] = 7
    path.write_text(json.dumps(tree))
    with pytest.raises(BenchError) as caught:
        types.read(path)
    reason = "its schema is 7, expected 5 or 6; run distill bench again"
    assert str(caught.value) == f"{path}: not a bench report that this distill reads, {reason}"
