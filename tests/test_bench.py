"""The benchmark against variants whose time and memory are known."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Chain

from bench import latency, quality, report, variants, worker
from bench.run import run
from bench.variants import line_up, resolve
from distill.errors import BenchError, BundleError
from distill.metrics import micro_f1

SLEEPER = """
import json, sys, time
from pathlib import Path
from bench import worker
def call(text, image):
    time.sleep({sleep})
ballast = bytearray(b"x") * {ballast}
worker.serve(call, [("", Path("x"))], time.time(), time.time())
"""


def fake_worker(tmp_path: Path, sleep: float, ballast: int = 1) -> subprocess.Popen[str]:
    script = SLEEPER.format(sleep=sleep, ballast=ballast)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen[str], line: str) -> dict[str, float | list[float]]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer: dict[str, float | list[float]] = json.loads(process.stdout.readline())
    return answer


def test_a_known_sleep_is_measured_and_one_call_is_one_time(tmp_path: Path) -> None:
    with fake_worker(tmp_path, sleep=0.02) as process:
        assert process.stdout is not None
        start = json.loads(process.stdout.readline())
        times = ask(process, "15")["latency_ms"]
        process.kill()
    assert 20 <= start["cold_start_ms"] < 250
    assert isinstance(times, list)
    assert len(times) == 15
    assert 20 <= np.median(times) < 30  # a sleep may last longer on a busy machine, never shorter


def test_a_known_allocation_is_measured(tmp_path: Path) -> None:
    peaks = []
    for ballast in (1, 200_000_000):
        with fake_worker(tmp_path, sleep=0.0, ballast=ballast) as process:
            assert process.stdout is not None
            process.stdout.readline()
            peaks.append(ask(process, "memory")["peak_rss_bytes"])
            process.kill()
    assert peaks[1] - peaks[0] == pytest.approx(200e6, rel=0.05)  # type: ignore[operator]


def test_percentiles_and_round_spread_of_a_hand_computed_case() -> None:
    p50, interval, p90, spread = latency.summarise([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    assert (p50, p90) == (3.0, 4.5)
    assert interval.low <= 3.0 <= interval.high
    assert spread == pytest.approx((4.0 - 2.0) / 3.0)


def test_every_round_calls_the_same_examples_from_short_to_long(chain: Chain) -> None:
    chosen = latency.by_length(chain.splits.train)
    lengths = [len(example.text) for example in chosen]
    everything = [len(example.text) for example in chain.splits.train]
    assert len(chosen) == latency.ROUND
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (min(everything), max(everything))
    assert np.median(lengths) == pytest.approx(np.median(everything), abs=3)
    assert len(latency.by_length(chain.splits.train[:1])) == latency.ROUND


def test_the_worker_cycles_through_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("sys.stdin", io.StringIO("3\n2\n"))
    rows = [("a", Path("a")), ("b", Path("b"))]
    with redirect_stdout(io.StringIO()) as written:
        worker.serve(lambda text, image: seen.append(text), rows, 0.0, 0.0)
    assert seen == ["a", "a", "b", "a", "b", "a"]  # one for the cold start
    assert [len(json.loads(line).get("latency_ms", [])) for line in written.getvalue().splitlines()] == [0, 3, 2]


@pytest.fixture(scope="module")
def made(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[report.BenchReport, Path]:
    """One real report over the whole chain."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    return run(chain.int8, [chain.teacher, chain.student], chain.splits, "test", 1, 20, out), out


def test_the_fp32_parent_joins_by_itself(made: tuple[report.BenchReport, Path]) -> None:
    names = [row["name"] for row in made[0].rows]
    assert names == ["teacher PyTorch", "student PyTorch", "student fp32 ONNX", "student int8 ONNX"]


def test_a_bundles_process_holds_no_torch_and_less_memory(made: tuple[report.BenchReport, Path]) -> None:
    rows = {row["name"]: row["latency"] for row in made[0].rows}
    assert rows["student PyTorch"]["torch_loaded"]
    assert not rows["student int8 ONNX"]["torch_loaded"]
    assert rows["student int8 ONNX"]["peak_rss_bytes"] < rows["student PyTorch"]["peak_rss_bytes"] / 2
    assert all(len(row["raw_ms"]) == 20 for row in rows.values())


def test_the_json_is_the_truth_and_the_tables_follow_from_it(made: tuple[report.BenchReport, Path]) -> None:
    written, out = made
    again = report.read(out)
    assert (
        report.to_markdown(again)
        == report.to_markdown(written)
        == out.with_suffix(".md").read_text(encoding="utf-8")
    )
    for row, line in zip(again.rows, report.to_markdown(again).splitlines()[2:], strict=False):
        assert line.startswith(f"| {row['name']} |")
        assert f"{row['latency']['p50_ms']:.1f}" in line
    notes = "\n".join(report.footnotes(again))
    assert "1 thread(s), batch 1, 20 calls" in notes
    assert "thresholds fitted on dev, 32 examples" in notes


def test_an_unsteady_machine_is_said_aloud(made: tuple[report.BenchReport, Path]) -> None:
    written = made[0]
    for spread, said in ((0.01, False), (0.5, True)):
        rows = tuple(row | {"latency": row["latency"] | {"round_spread": spread}} for row in written.rows)
        notes = "\n".join(report.footnotes(replace(written, rows=rows)))
        assert ("NOISY" in notes) == said


def test_quality_on_dev_does_not_use_thresholds_fitted_on_the_same_rows(chain: Chain) -> None:
    on_dev = quality.judge(chain.int8, "dev", chain.splits.dev)
    assert on_dev.thresholds == "cross-fitted on dev"
    assert on_dev.flattering is not None
    on_test = quality.judge(chain.int8, "test", chain.splits.test)
    assert on_test.flattering is None
    assert on_test.thresholds == "fitted on dev, 32 examples"
    with pytest.raises(BenchError, match="no example of test has a label"):
        quality.judge(chain.int8, "test", [replace(example, labels=()) for example in chain.splits.test])


def test_known_wrong_labels_are_seen_in_the_figures(chain: Chain) -> None:
    """The model's own decisions as truth score 1; with half of the examples' labels emptied they do not."""
    from export.runtime import Predictor

    predictor = Predictor.load(chain.int8)
    labels = predictor.bundle.labels
    decisions = predictor.bundle.thresholds.apply(predictor.probabilities(chain.splits.test))
    agreeing = [
        replace(example, labels=labels.decode(row))
        for example, row in zip(chain.splits.test, decisions, strict=True)
    ]
    assert quality.judge(chain.int8, "test", agreeing).honest.micro_f1 == 1.0
    half = [replace(e, labels=()) if i % 2 else e for i, e in enumerate(agreeing)]
    expected = micro_f1(labels.encode([e.labels for e in half]), decisions)
    assert quality.judge(chain.int8, "test", half).honest.micro_f1 == pytest.approx(expected)


def test_what_cannot_be_measured_is_named(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="neither a finished run nor a Bundle"):
        resolve(tmp_path)
    copy = tmp_path / "bundle"
    shutil.copytree(chain.int8, copy)
    variant = resolve(copy)
    (copy / "model.onnx").write_bytes(b"gone bad")
    with pytest.raises(BundleError):
        line_up(copy, [])
    with pytest.raises(BenchError, match=r"its process ended: .*its content is not what"):
        latency.measure([variant], chain.splits.test[:1], 1, 1)


def test_sizes_are_those_of_the_files(chain: Chain) -> None:
    assert variants.resolve(chain.int8).size_bytes == sum(path.stat().st_size for path in chain.int8.iterdir())
    assert variants.resolve(chain.student).size_bytes > (chain.student / "model.safetensors").stat().st_size


def test_reports_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"schema": 0}')
    with pytest.raises(BenchError, match="not a bench report of schema 2"):
        report.read(path)
