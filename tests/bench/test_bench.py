"""The benchmark against variants whose time, memory and labels are known, and over the whole chain."""

from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chain import ROOT, Chain
from PIL import Image
from sklearn.metrics import f1_score

from bench.measure import interleave as measure
from bench.measure import process, worker
from bench.measure.images import image_sizes
from bench.measure.interleave import Plan
from bench.measure.memory import peak_bytes, resident
from bench.measure.stages import stage_times
from bench.peers.run import run_with_peers
from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import SplitEvaluation, evaluate, show
from bench.report import tables as report
from bench.report import types as figures
from bench.run import run, write
from bench.runtimes.open_model import answer, decoded_beforehand, open_variant, probabilities
from bench.runtimes.variants import Variant, select_variants, variant_from_path
from distill.core.errors import BenchError, BundleError, ImageError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.tower_sessions import TowerSessions
from distill.runtime.opened import Features
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import micro_f1

FAKE = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from bench.measure.memory import peak_bytes, resident
from bench.measure.worker import Spec, held, serve, timed_round

spec, started = Spec(**json.loads(Path(sys.argv[1]).read_text())), float(sys.argv[2])
known = json.loads((Path(spec.folder) / "known.json").read_text())
imported = time.time()
before = resident()
ballast = bytearray(b"x") * int(known["load_mb"] * 1e6)
kept = bytearray(b"x") * int(known["keep_mb"] * 1e6)
del ballast
time.sleep(known["open_ms"] / 1e3)
begun = {"import_ms": 1e3 * (imported - started), "open_ms": 1e3 * (time.time() - imported),
         "imported": asdict(before), "load_peak_bytes": peak_bytes(), "torch": False}
calls = 0
def answer(texts, images):
    global calls
    calls += 1
    disturbed = known["disturb"] and (calls // 20) % 3 == 1
    time.sleep(len(texts) * known["call_ms"] * (1.5 if disturbed else 1.0) / 1e3)
def staged():
    return {"stages": [{"name": "model", "ms": known["call_ms"]}], "tokens": 7, "model_ms": known["call_ms"]}
def many(size, posts):
    time.sleep(posts * known["call_ms"] / spec.threads / 1e3)
    return {"how": f"{spec.threads} sleepers", "seconds": posts * known["call_ms"] / spec.threads / 1e3}
rows = [tuple(row) for row in spec.rows]
requests = {"calls": lambda size: timed_round(answer, rows, size), "stages": staged, "memory": held, "many": many}
requests["model"] = lambda size: [0.5 * size * known["call_ms"]] * len(rows)
serve(lambda: answer([""], [None]), requests, begun, started)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Makes variants whose process sleeps and allocates as told."""
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE, encoding="utf-8")
    monkeypatch.setattr(process, "WORKER", (str(script),))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def make(name: str, **known: float) -> Variant:
        folder = tmp_path / name
        folder.mkdir()
        told = {"call_ms": 1.0, "open_ms": 0.0, "load_mb": 0.0, "keep_mb": 0.0, "disturb": 0} | known
        (folder / "known.json").write_text(json.dumps(told))
        return Variant(name, "student", "optimum dynamic int8", folder, 1)

    return make


def test_known_sleeps_are_measured_to_within_a_tenth(chain: Chain, fake) -> None:  # type: ignore[no-untyped-def]
    """A sleep may last longer on a busy machine, never shorter."""
    variants = [fake("slow", call_ms=20.0, open_ms=150.0), fake("fast", call_ms=5.0)]
    (slow, fast), _ = measure.measure(variants, chain.splits.test, Plan((1,), (1, 4), 20, 2))
    assert 20.0 <= slow.timings[0].p50.value < 22.0
    assert 5.0 <= fast.timings[0].p50.value < 5.5 + 0.5
    assert [timing.batch for timing in slow.timings] == [1, 4]
    assert 80.0 <= slow.timings[1].p50.value < 85.0  # four examples in one call
    assert [len(part) for part in slow.timings[1].raw_ms] == [5]
    assert [timing.model_p50 for timing in slow.timings] == [10.0, 40.0]
    assert [(s.threads, s.batch, s.how, s.posts) for s in slow.streams] == [
        (1, 1, "1 sleepers", 40),
        (1, 4, "1 sleepers", 40),
    ]
    assert slow.streams[0].posts_per_s.value == pytest.approx(50.0)
    assert 150.0 <= slow.cold.open_ms < 200.0
    assert slow.cold.total_ms >= slow.cold.import_ms + 150.0
    assert slow.cold.first_call_ms >= 20.0
    assert len(slow.cold.starts_ms) == 2


def test_known_allocations_are_measured_to_within_five_per_cent(chain: Chain, fake) -> None:  # type: ignore[no-untyped-def]
    variants = [fake("large", load_mb=200.0, keep_mb=80.0), fake("small")]
    (large, small), _ = measure.measure(variants, chain.splits.test, Plan((1,), (1,), 20, 1))
    above = large.memory.load_peak_bytes - large.memory.imported.rss_bytes
    assert above == pytest.approx(280e6, rel=0.05)
    steady = large.memory.steady.rss_bytes - small.memory.steady.rss_bytes
    assert steady == pytest.approx(80e6, rel=0.05)
    assert large.memory.peak_bytes - small.memory.peak_bytes == pytest.approx(280e6, rel=0.05)
    assert large.memory.steady.pss_bytes is not None
    assert large.memory.without_arena is None


def test_noise_injected_into_one_variant_turns_the_verdict(chain: Chain, fake) -> None:  # type: ignore[no-untyped-def]
    variants = [fake("disturbed", call_ms=8.0, disturb=1), fake("own", call_ms=8.0)]
    _, verdict = measure.measure(variants, chain.splits.test, Plan((1,), (1,), 120, 1))
    assert verdict.verdict == "noisy"
    assert any("of disturbed's rounds were more than 10% off" in reason for reason in verdict.reasons)
    assert not any("own's" in reason for reason in verdict.reasons)
    assert verdict.ratio.value == pytest.approx(1.0, abs=0.05)


def test_a_rounds_batches_hold_every_row_and_are_filled_from_the_first() -> None:
    rows = [(str(number), None) for number in range(5)]
    assert [[text for text, _ in batch] for batch in worker.batches(rows, 2)] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "0"],
    ]
    assert len(worker.batches(rows, 1)) == 5


def test_every_round_calls_the_same_examples_from_short_to_long(chain: Chain) -> None:
    chosen = measure.by_length(chain.splits.train)
    lengths = [len(example.text) for example in chosen]
    everything = [len(example.text) for example in chain.splits.train]
    assert len(chosen) == measure.ROUND
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (min(everything), max(everything))
    assert np.median(lengths) == pytest.approx(np.median(everything), abs=3)
    assert len(measure.by_length(chain.splits.train[:1])) == measure.ROUND


def test_memory_counters_agree_with_what_is_allocated_and_with_each_other(tmp_path: Path) -> None:
    before = resident()
    # Pages of its own, whatever malloc keeps of what other tests have freed.
    ballast = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, len(ballast), mmap.PAGESIZE):
        ballast[start] = 1
    after = resident()
    assert after.rss_bytes - before.rss_bytes == pytest.approx(len(ballast), rel=0.05)
    assert after.pss_bytes is not None
    assert after.pss_bytes <= after.rss_bytes <= peak_bytes()
    nothing = resident(tmp_path)  # a system without /proc
    assert nothing.pss_bytes is None
    assert nothing.rss_bytes >= after.rss_bytes / 2


def test_stages_sum_to_a_call_and_towers_to_the_model(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes 30 ms longer than it does: whatever the machine is busy with is small beside it."""
    served = open_variant(variant_from_path(chain.fp32), 1)
    real = TowerSessions.fuse

    def slow(self: TowerSessions, batch: ModelInputs, features: Features) -> np.ndarray:
        time.sleep(0.03)
        return real(self, batch, features)

    monkeypatch.setattr(TowerSessions, "fuse", slow)
    rows = [(example.text, example.image) for example in chain.splits.test[:6]]
    found = stage_times(served, rows, passes=3)
    by_name = {stage.name: stage.ms for stage in found.stages}
    assert list(by_name) == ["decode", "resize", "tokenise", "batch", "text", "image", "head", "decide"]
    assert min(by_name.values()) >= 0
    start = time.perf_counter()
    for text, image in rows:
        answer(served, [text], [image])
    call = 1e3 * (time.perf_counter() - start) / len(rows)
    assert sum(by_name.values()) == pytest.approx(call, rel=0.25)
    assert 30 <= by_name["text"] + by_name["image"] + by_name["head"] <= 1.25 * call
    assert found.tokens == len(served.preprocessor.ids([rows[3][0]])[0])


def test_a_post_without_an_image_takes_no_time_to_decode(chain: Chain) -> None:
    found = stage_times(open_variant(variant_from_path(chain.int8), 1), [("a text alone", None)], passes=3)
    by_name = {stage.name: stage.ms for stage in found.stages}
    assert by_name["decode"] < 0.05
    assert by_name["resize"] < 0.05


def test_every_runtime_answers_as_the_product_does(chain: Chain) -> None:
    some = chain.splits.test[:5]
    predictor = Predictor.load(chain.int8, 1)
    expected = [predictor.predict(example.text, example.image).labels for example in some]
    served = open_variant(variant_from_path(chain.int8), 1)
    assert [answer(served, [example.text], [example.image])[0] for example in some] == expected


def test_many_at_once_are_answered_as_each_alone_and_in_order(chain: Chain) -> None:
    some = chain.splits.test[:10]
    for folder in (chain.int8, chain.student):
        model = open_variant(variant_from_path(folder), 2)
        alone = [answer(model, [example.text], [example.image])[0] for example in some]
        assert len(set(alone)) > 1
        assert model.many(2).answer(some, 1) == alone


def test_a_model_alone_reads_no_image_and_answers_the_same(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "original").mkdir()
    rows: list[tuple[str, Path | None]] = [("a text alone", None)]
    for example in chain.splits.test[:3]:
        assert isinstance(example.image, Path)
        rows.append((example.text, Path(shutil.copy(example.image, tmp_path))))
    texts, images = [text for text, _ in rows], [image for _, image in rows]
    for folder in (chain.int8, chain.student):
        model = open_variant(variant_from_path(folder), 2)
        expected = [answer(model, [text], [image]) for text, image in rows], answer(model, texts, images)
        with decoded_beforehand(model, rows):
            for image in images[1:]:
                assert image is not None
                image.rename(tmp_path / "original" / image.name)
            assert expected == ([answer(model, [t], [i]) for t, i in rows], answer(model, texts, images))
        with pytest.raises(ImageError):
            answer(model, texts[1:2], images[1:2])
        for image in (tmp_path / "original").iterdir():
            image.rename(tmp_path / image.name)


def test_the_images_of_another_folder_take_the_place_of_the_splits(chain: Chain, tmp_path: Path) -> None:
    eval_set = EvalSet.from_splits(chain.splits, "test")
    for example in eval_set.examples:
        assert isinstance(example.image, Path)
        with Image.open(example.image) as image:
            image.resize((300, 200)).save(tmp_path / example.image.name)
    theirs = eval_set.with_own(chain.teacher, chain.splits).with_images(tmp_path)
    assert [e.image for e in theirs.examples] == [tmp_path / Path(str(e.image)).name for e in eval_set.examples]
    assert [e.labels for e in theirs.examples] == [e.labels for e in eval_set.examples]
    sizes = image_sizes(theirs.examples)
    assert sizes is not None
    assert sizes.side_px == 300
    assert theirs.sha256() != eval_set.sha256()
    last = theirs.examples[-1]
    assert isinstance(last.image, Path)
    twin = replace(last, image=tmp_path / "sub" / last.image.name)
    with pytest.raises(BenchError, match="give each image a name of its own"):
        replace(eval_set, examples=(*eval_set.examples, twin)).with_images(tmp_path)
    last.image.unlink()
    with pytest.raises(
        BenchError, match=f"--originals {tmp_path}: has no {last.image.name}, the image of {last.id}"
    ):
        eval_set.with_images(tmp_path)
    alone = replace(eval_set, examples=(replace(last, image=b"in memory"),))
    with pytest.raises(BenchError, match=f"--originals {tmp_path}: the image of {last.id} is no file"):
        alone.with_images(tmp_path)
    assert image_sizes([replace(last, image=None)]) is None


def test_rounds_of_what_is_not_the_headline_and_posts_of_a_stream() -> None:
    assert [Plan((1,), (1,), calls, 1).rounds for calls in (1, 40, 41, 400)] == [1, 2, 3, 20]
    assert [Plan((1,), (1,), calls, 1).secondary_rounds for calls in (1, 40, 120, 400, 4000)] == [1, 2, 5, 5, 50]
    assert [Plan((1, 2), (1,), 1, 1).posts(batch) for batch in (1, 3, 8, 64)] == [40, 42, 64, 512]


def test_rows_without_labels_change_no_figure(chain: Chain) -> None:
    """Half of dev lacks labels, train too: every figure is that of the other half, not of 16 rows of negatives."""
    half = [replace(e, labels=None) if i % 2 else e for i, e in enumerate(chain.splits.dev)]
    known = replace(chain.splits, dev=chain.splits.dev[::2])
    model = open_variant(variant_from_path(chain.fp32), 1)
    with_unknown = EvalSet.from_splits(replace(chain.splits, dev=half), "dev")
    assert evaluate(model, with_unknown) == evaluate(model, EvalSet.from_splits(known, "dev"))


def test_a_label_that_is_unknown_for_some_rows_is_measured_on_the_others(chain: Chain, tmp_path: Path) -> None:
    partly = [replace(e, unknown_labels=("rally",)) if i < 10 else e for i, e in enumerate(chain.splits.test)]
    partly = [replace(e, labels=tuple(n for n in e.labels or () if n not in e.unknown_labels)) for e in partly]
    eval_set = EvalSet.from_splits(replace(chain.splits, test=partly), "test")
    model = open_variant(variant_from_path(chain.int8), 1)
    quality = evaluate(model, eval_set).quality
    place = eval_set.labels.names.index("rally")
    p = probabilities(model, eval_set.examples)
    decided, truth = p >= model.thresholds.array(), eval_set.targets
    known = ~np.isnan(truth)
    assert known.sum() == truth.size - 10
    assert quality.micro_f1.value == pytest.approx(f1_score(truth[known], decided[known]))
    assert quality.labels[place].f1 == pytest.approx(f1_score(truth[10:, place], decided[10:, place]))
    eval_set.save(tmp_path / "eval")
    again = EvalSet.load(tmp_path / "eval")
    assert np.array_equal(again.targets, truth, equal_nan=True)
    assert again.sha256() == eval_set.sha256() != EvalSet.from_splits(chain.splits, "test").sha256()


@pytest.fixture(scope="module")
def made(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[figures.BenchReport, list[Path]]:
    """One real report over the whole chain; a copy of the fp32 Bundle stands in for a baseline."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    baseline = shutil.copytree(chain.fp32, out.with_name("baseline"))
    eval_set = EvalSet.from_splits(chain.splits, "test")
    plan = Plan((1, 2), (1, 4), 40, 1, "a device", baseline=baseline, margin=0.02)
    found = run_with_peers(chain.int8, [chain.teacher], [], chain.splits.train, eval_set, plan)
    return found, write(found, out)


def test_the_fp32_parent_joins_by_itself_and_the_own_row_is_the_last(
    made: tuple[figures.BenchReport, list[Path]],
) -> None:
    names = [row.name for row in made[0].rows]
    assert names == ["teacher PyTorch", "baseline fp32 ONNX", "student fp32 ONNX", "student int8 ONNX"]
    assert [row.own for row in made[0].rows] == [False, False, False, True]


def test_a_bundles_process_holds_no_torch_and_less_memory(made: tuple[figures.BenchReport, list[Path]]) -> None:
    rows = {row.name: row.memory for row in made[0].rows}
    assert rows["teacher PyTorch"].torch_loaded
    assert not rows["student int8 ONNX"].torch_loaded
    assert rows["student int8 ONNX"].peak_bytes < rows["teacher PyTorch"].peak_bytes / 2
    for memory in rows.values():
        assert memory.imported.rss_bytes <= memory.load_peak_bytes <= memory.peak_bytes
    assert rows["student int8 ONNX"].without_arena is not None
    assert rows["teacher PyTorch"].without_arena is None


def test_every_setting_is_timed_for_every_variant(made: tuple[figures.BenchReport, list[Path]]) -> None:
    for row in made[0].rows:
        assert [(t.threads, t.batch) for t in row.timings] == [(1, 1), (1, 4), (2, 1), (2, 4)]
        assert [t.calls for t in row.timings] == [40, 10, 40, 10]
        assert [len(t.model_raw_ms or ()) for t in row.timings] == [2] * 4
        assert [(s.threads, s.batch, s.posts, len(s.seconds)) for s in row.streams or ()] == [
            (2, 1, 40, 2),
            (2, 4, 40, 2),
        ]
        assert row.timings[0].p99 is None
    assert [peak.threads for peak in made[0].peaks] == [1, 2]
    assert all(peak.read_gb_s for peak in made[0].peaks)
    assert made[0].conditions.images is not None


def test_differences_from_the_teacher_are_those_of_the_decisions(
    made: tuple[figures.BenchReport, list[Path]],
) -> None:
    found, _ = made
    teacher, baseline, *others = found.rows
    assert [each.reference for each in teacher.differences] == [found.baseline] == [baseline.name]
    assert baseline.differences == ()
    gold = figures.to_decisions(found.gold, len(found.labels))
    for row in others:
        difference = row.difference_from(teacher.name)
        assert difference is not None
        theirs, ours = (figures.to_decisions(r.decided, len(found.labels)) for r in (teacher, row))
        expected = f1_score(gold, ours, average="micro") - f1_score(gold, theirs, average="micro")
        assert difference.micro_f1.value == pytest.approx(expected)
        assert difference.micro_f1.low <= expected <= difference.micro_f1.high
        assert difference.flipped == (theirs != ours).sum()
        assert f1_score(gold, ours, average="micro") == pytest.approx(row.quality.micro_f1.value)
    from_parent = found.own.difference_from("student fp32 ONNX")
    assert from_parent is not None
    assert from_parent.flipped == sum(
        len(set(a) ^ set(b)) for a, b in zip(found.rows[2].decided, found.own.decided, strict=True)
    )


def test_every_variant_is_judged_beside_the_baseline(made: tuple[figures.BenchReport, list[Path]]) -> None:
    found, _ = made
    own = [each.reference for each in found.own.differences]
    assert own == ["teacher PyTorch", "baseline fp32 ONNX", "student fp32 ONNX"]
    notes, table = report.footnotes(found), report.differences(found.rows)
    assert table is not None
    for each, line in zip(found.own.differences, table.rows[-3:], strict=True):
        assert each.verdict is not None
        assert (each.verdict.margin, each.verdict.examples) == (0.02, 24)
        balanced = (each.micro_f1.value + each.macro_f1.value) / 2
        assert each.verdict.gain.value == pytest.approx(balanced)
        assert each.verdict.sentence(found.own.name, each.reference, "test (24 examples)") + "." in notes
        assert line[-2:] == (each.verdict.outcome, f"{each.verdict.detectable:.3f}")


def test_without_an_image_there_is_no_row_of_the_image_alone(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_set = EvalSet.from_splits(chain.splits, "test")
    words = replace(eval_set, examples=tuple(replace(each, image=None) for each in eval_set.examples))
    evaluation = evaluated(chain.int8, words)
    assert evaluation.quality_image_alone is None
    assert evaluation.quality_text_alone == evaluation.quality
    show(evaluation, words)
    shown = capsys.readouterr().out
    assert "text alone" in shown
    assert "image alone" not in shown


def test_reliability_bins_hold_every_pair_and_give_back_the_rate(
    made: tuple[figures.BenchReport, list[Path]],
) -> None:
    found, _ = made
    pairs = len(found.gold) * len(found.labels)
    positives = sum(len(row) for row in found.gold)
    for row in found.rows:
        assert sum(part.count for part in row.reliability) == pairs
        assert sum(part.count * part.frequency for part in row.reliability) == pytest.approx(positives)


def test_the_limit_is_counted_for_bundles_and_never_beaten(made: tuple[figures.BenchReport, list[Path]]) -> None:
    rows = {row.name: row.work for row in made[0].rows}
    assert rows["teacher PyTorch"] is None
    fp32, int8 = rows["student fp32 ONNX"], rows["student int8 ONNX"]
    assert fp32 is not None
    assert int8 is not None
    assert fp32.low_bit_macs == 0
    assert int8.low_bit_macs > 0
    # onnxruntime pads the channels of convolutions in float, a larger share of a tiny network than of a real one;
    # the search may ship them in int8.
    assert int8.low_bit_macs + int8.float_macs == pytest.approx(fp32.float_macs, rel=0.1)
    for done in (fp32, int8):
        assert 0 < done.of_peak < 1
        assert done.of_peak == pytest.approx(done.ideal_ms / done.model_ms)
        assert done.weight_bytes is not None
    assert int8.weight_bytes is not None
    assert fp32.weight_bytes is not None
    assert int8.weight_bytes < fp32.weight_bytes < made[0].rows[-2].size_bytes


def test_the_json_is_the_truth_and_the_tables_follow_from_it(made: tuple[figures.BenchReport, list[Path]]) -> None:
    found, written = made
    again = figures.read(written[0])
    assert again == found
    assert report.to_whole_markdown(again) == written[1].read_text(encoding="utf-8")
    for row, line in zip(again.rows, report.to_markdown(again).splitlines()[2:], strict=False):
        assert line.startswith(f"| {row.name} |")
        assert f"{row.timings[0].p50.value:.1f} [" in line
    notes = "\n".join(report.footnotes(again))
    assert "1 thread(s), batch 1, 40 calls" in notes
    assert "thresholds fitted on dev, 32 examples" in notes
    assert "No p99: that takes 368 calls or more" in notes
    assert again.machine.name == "a device"


def test_a_noisy_machine_is_said_aloud(made: tuple[figures.BenchReport, list[Path]]) -> None:
    found = made[0]
    for verdict, said in (("quiet", False), ("noisy", True)):
        noise = replace(found.noise, verdict=verdict, reasons=("somebody compiled",) if said else ())
        notes = "\n".join(report.footnotes(replace(found, noise=noise)))  # type: ignore[arg-type]
        assert ("NOISY: somebody compiled" in notes) == said
        assert ("The machine was quiet" in notes) != said


def evaluated(folder: Path, eval_set: EvalSet) -> SplitEvaluation:
    return evaluate(open_variant(variant_from_path(folder)), eval_set)


def test_quality_on_dev_does_not_use_thresholds_fitted_on_the_same_rows(chain: Chain) -> None:
    on_dev = evaluated(chain.int8, EvalSet.from_splits(chain.splits, "dev"))
    assert on_dev.thresholds == "cross-fitted on dev"
    assert on_dev.quality_own_thresholds is not None
    on_test = evaluated(chain.int8, EvalSet.from_splits(chain.splits, "test"))
    assert on_test.quality_own_thresholds is None
    assert on_test.thresholds == "fitted on dev, 32 examples"
    secret = replace(chain.splits, test=[replace(example, labels=()) for example in chain.splits.test])
    with pytest.raises(BenchError, match="no example of test has a label"):
        EvalSet.from_splits(secret, "test")


def test_known_wrong_labels_are_seen_in_the_figures(chain: Chain) -> None:
    """The model's own decisions as truth score 1; with half of the examples' labels emptied they do not."""
    eval_set = EvalSet.from_splits(chain.splits, "test")
    predictor = Predictor.load(chain.int8)
    labels = predictor.bundle.labels
    decisions = predictor.bundle.thresholds.apply(predictor.probabilities(eval_set.examples))
    agreeing = tuple(
        replace(example, labels=labels.decode(row))
        for example, row in zip(eval_set.examples, decisions, strict=True)
    )
    assert evaluated(chain.int8, replace(eval_set, examples=agreeing)).quality.micro_f1.value == 1.0
    half = tuple(replace(e, labels=()) if i % 2 else e for i, e in enumerate(agreeing))
    expected = micro_f1(labels.encode([e.labels for e in half]), decisions)
    assert evaluated(chain.int8, replace(eval_set, examples=half)).quality.micro_f1.value == pytest.approx(expected)


def test_what_cannot_be_measured_is_named(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="neither a finished run nor a Bundle"):
        variant_from_path(tmp_path)
    copy = tmp_path / "bundle"
    shutil.copytree(chain.int8, copy)
    variant = variant_from_path(copy)
    (copy / "model.onnx").write_bytes(b"gone bad")
    with pytest.raises(BundleError):
        select_variants(copy, [])
    with pytest.raises(BenchError, match=r"its process ended: .*its content does not match"):
        measure.measure([variant], chain.splits.test[:1], Plan((1,), (1,), 1, 1))
    with pytest.raises(BundleError, match="its content does not match"):
        run([variant], EvalSet.from_splits(chain.splits, "test"), Plan((1,), (1,), 1, 1))


def test_sizes_are_those_of_the_files(chain: Chain) -> None:
    assert variant_from_path(chain.int8).size_bytes == sum(path.stat().st_size for path in chain.int8.iterdir())
    assert variant_from_path(chain.student).size_bytes > (chain.student / "model.safetensors").stat().st_size


def test_reports_of_another_schema_and_reports_that_do_not_fit_are_refused(
    made: tuple[figures.BenchReport, list[Path]], tmp_path: Path
) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"schema": 3}')
    with pytest.raises(BenchError, match=r"its schema is 3, expected 5 or 6; run distill bench again"):
        figures.read(path)
    path.write_text("[5]")
    with pytest.raises(BenchError, match=r"its schema is None, expected 5 or 6; run distill bench again"):
        figures.read(path)
    tree = made[0].to_json()
    path.write_text(json.dumps(tree | {"rows": [row | {"own": False} for row in tree["rows"]]}))
    with pytest.raises(BenchError, match="one own row"):
        figures.read(path)
    tree["rows"][0]["timings"][0]["p50"]["value"] = "fast"
    path.write_text(json.dumps(tree))
    with pytest.raises(BenchError, match=r"old.json: .*p50.value must be of type float"):
        figures.read(path)


def test_a_packed_benchmark_runs_with_nothing_but_the_four_packages(chain: Chain, tmp_path: Path) -> None:
    """In an interpreter that finds neither this checkout nor any other package than the device's four."""
    from bench.device.pack import pack

    packed = tmp_path / "there" / "bench.pyz"
    eval_set = EvalSet.from_splits(chain.splits, "test")
    pack(select_variants(chain.int8, []), eval_set, packed)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in (
        "onnxruntime",
        "numpy",
        "numpy.libs",
        "PIL",
        "pillow.libs",
        "tokenizers",
        "flatbuffers",
        "huggingface_hub",
    ):
        there = Path(np.__file__).parent.parent / name
        if there.exists():
            (packages / name).symlink_to(there)
    words = [sys.executable, "-S", str(packed), "--calls", "20", "--starts", "1", "--threads", "1", "--name", "pi"]
    environment = {"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*words, "--out", str(tmp_path / "pi.json")], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = figures.read(tmp_path / "pi.json")
    assert [row.name for row in found.rows] == ["student fp32 ONNX", "student int8 ONNX"]
    assert found.machine.name == "pi"
    assert not any(row.memory.torch_loaded for row in found.rows)
    here = evaluated(chain.int8, eval_set)
    assert found.own.decided == here.decided
    assert found.own.quality.micro_f1.value == pytest.approx(here.quality.micro_f1.value)
    assert found.conditions.examples_sha256 == eval_set.sha256()


def test_a_packed_benchmark_says_what_the_device_lacks(chain: Chain, tmp_path: Path) -> None:
    from bench.device.pack import pack

    packed = tmp_path / "bench.pyz"
    pack(select_variants(chain.int8, []), EvalSet.from_splits(chain.splits, "test"), packed)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-S", str(packed)], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: this device lacks onnxruntime, numpy, pillow, tokenizers; "
        "pip install onnxruntime numpy pillow tokenizers"
    )


def test_only_bundles_are_packed(chain: Chain, tmp_path: Path) -> None:
    from bench.device.pack import pack

    with pytest.raises(BenchError, match="only Bundles for onnxruntime can be packed"):
        pack(
            select_variants(chain.int8, [chain.student]),
            EvalSet.from_splits(chain.splits, "test"),
            tmp_path / "bench.pyz",
        )
    assert not list(tmp_path.iterdir())
