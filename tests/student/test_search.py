"""The way of a search: costs, rounds, finalists, recommendation. Numbers stand in for the work on a candidate."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distill.core.errors import RunError
from distill.core.machine.cpu import cpu_name
from distill.core.settings.recipe import Recipe
from distill.core.storage.files import write_json
from distill.data.checks import content_hash
from distill.data.dataset import Splits, encode_targets, read_splits
from distill.data.dividing.stratify import stratified_folds
from distill.data.run_folder import RUN_FILE
from distill.model.outputs import Outputs
from distill.model.soft_targets import SoftTargets
from distill.scoring import bootstrap
from distill.scoring.estimate import Estimate
from student.search import search as searching
from student.search.ladder import candidates_of
from student.search.lesson import Lesson, with_folds
from student.search.report import Cost, Limits, Measurement, SearchReport
from student.search.search import Plan, Search
from student.train import DistillationTargets

FOLDS = 3
LAYERS = [6, 4, 3, 2, 1]
MISSED = {6: 0.0, 4: 0.04, 3: 0.07, 2: 0.11, 1: 0.7}  # of the labels of each fold, by a candidate of so many layers


@dataclass
class Work:
    """What a search asks to be done, in order, and where it is to go wrong."""

    splits: Splits
    done: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)
    noise: tuple[str, ...] = ()

    def _do(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]
        self.done.append(what)

    def export_untrained(self, lesson: Any, candidate: Any, target: str, out: Path) -> None:
        self._do(f"untrained {out.name}")
        out.mkdir(parents=True)

    def answer_folds(self, lesson: Any, config: Any, folder: Path, folds: int) -> Any:
        self._do(f"{folder.name} in {folds}")
        targets = encode_targets(self.splits.train, self.splits.labels)
        probabilities = np.full_like(targets, np.nan)
        for fold in range(folds):
            rows = np.arange(fold, len(targets), FOLDS)
            said = targets[rows].copy()
            places = np.random.default_rng(fold).permutation(np.argwhere(said == 1))
            missed = places[: math.ceil(MISSED[config.text.layers] * len(places))]
            said[missed[:, 0], missed[:, 1]] = 0
            probabilities[rows] = 0.05 + 0.9 * said
        return probabilities

    def finish(self, lesson: Any, config: Any, folder: Path) -> None:
        self._do(f"finish {folder.name}")
        write_json(folder / RUN_FILE, {})

    def export_trained(self, lesson: Any, candidate: Any, folder: Path, target: str, out: Path) -> None:
        self._do(f"export {out.name}")
        out.mkdir(parents=True)

    def measure(self, bundles: Mapping[str, Path], calls: int) -> Measurement:
        self._do(f"measure {len(bundles)}")
        assert all(folder.is_dir() for folder in bundles.values())
        costs = {}
        for name in bundles:
            layers = int(name.rpartition("-")[2])
            costs[name] = Cost(Estimate(layers, layers * 0.9, layers * 1.1), layers * 10_000_000, 1)
        return Measurement(costs, "box", cpu_name(), 2, 1, calls, 32, "now", {}, self.noise)


@pytest.fixture(scope="module")
def splits(data: Path) -> Splits:
    return read_splits(data)


@pytest.fixture
def work(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work(splits)
    for name in ("export_untrained", "answer_folds", "finish", "export_trained"):
        monkeypatch.setattr(searching, name, getattr(made, name))
    # Fitting thresholds to numbers that stand in for a training would take most of the time.
    monkeypatch.setattr(bootstrap, "cross_fitted", lambda probabilities, *_, **__: probabilities >= 0.5)
    monkeypatch.setattr(bootstrap, "cross_calibrated", lambda probabilities, *_, **__: probabilities)
    return made


def search(work: Work, out: Path, limits: Limits | None = None, max_drop: float = 0.1) -> SearchReport:
    candidates = candidates_of({"x": {"student.text.layers": LAYERS}}, Recipe.load())
    lesson: Any = SimpleNamespace(splits=work.splits, targets=SimpleNamespace(folds=[None] * FOLDS))
    plan = Plan(candidates, limits or Limits(), max_drop, 1, "x86-vnni")
    return Search(plan, lesson, out, work.measure).run()


def test_costs_come_first_then_rounds_then_the_finalists_and_the_quickest_not_worse_wins(
    work: Work, tmp_path: Path
) -> None:
    report = search(work, tmp_path, Limits(max_ms=5))
    assert work.done[:6] == [*(f"untrained x-layers-{n}" for n in LAYERS), "measure 5"]
    trained = [what for what in work.done if " in " in what]
    assert trained[:4] == [f"x-layers-{n} in 1" for n in (4, 3, 2, 1)]  # six layers take 5.4 ms at least
    assert trained[4:] == [f"x-layers-{n} in {folds}" for folds in (2, 3) for n in (4, 3, 2)]
    assert work.done[-7:] == [
        *(f"finish x-layers-{n}" for n in (4, 3, 2)),
        *(f"export x-layers-{n}" for n in (4, 3, 2)),
        "measure 3",
    ]
    rows = {row.name: row for row in report.rows}
    assert rows["x-layers-6"].out == "over --max-ms 5: 6.00 [5.40, 6.60] ms"
    assert rows["x-layers-6"].folds == 0
    assert rows["x-layers-1"].out == "worse than x-layers-4 by more than 0.1, in 1 of 3 folds"
    assert report.chosen is rows["x-layers-2"]
    assert (report.chosen.folds, report.chosen.run) == (3, "candidates/x-layers-2")
    verdict = report.chosen.verdict
    assert verdict is not None
    assert verdict.not_worse
    assert json.loads((tmp_path / "search.json").read_text()) == json.loads(json.dumps(report.to_json()))


def test_an_interrupted_search_repeats_nothing_that_is_done(work: Work, tmp_path: Path) -> None:
    whole = search(work, tmp_path / "whole")
    everything, work.done = work.done, []
    for what in ("untrained x-layers-3", "x-layers-2 in 1", "x-layers-4 in 3", "export x-layers-3"):
        assert what in everything
        work.fails = {what: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            search(work, tmp_path / "out")
    work.fails = {}
    assert search(work, tmp_path / "out") == whole
    assert work.done == everything
    assert search(work, tmp_path / "out") == whole
    assert work.done == everything


def test_a_search_goes_on_with_other_limits_and_trains_what_they_let_in(work: Work, tmp_path: Path) -> None:
    search(work, tmp_path, Limits(max_ms=3.5))
    before, work.done = work.done, []
    assert not any("x-layers-4" in what for what in before if " in " in what)
    search(work, tmp_path, Limits(max_ms=4.5))
    assert "x-layers-4 in 1" in work.done
    assert "x-layers-3 in 1" not in work.done


def test_times_of_another_processor_are_measured_again(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(work, tmp_path)
    work.done = []
    monkeypatch.setattr(searching, "cpu_name", lambda: "another")
    search(work, tmp_path)
    assert [what for what in work.done if what.startswith("measure")] == ["measure 5", "measure 4"]


def test_noisy_times_are_said_in_the_reason_and_measured_again_by_a_resumed_search(
    work: Work, tmp_path: Path
) -> None:
    work.noise = ("the same Bundle in two processes differed by 9%",)
    noisy = search(work, tmp_path)
    assert noisy.recommendation is not None
    assert "another may be the quickest" in noisy.recommendation.reason[-1]
    work.noise, work.done = (), []
    quiet = search(work, tmp_path)
    assert quiet.recommendation is not None
    assert "another may be the quickest" not in " ".join(quiet.recommendation.reason)
    assert [what.split()[0] for what in work.done] == ["measure"]


def test_a_busy_machine_puts_out_only_what_is_far_over_a_time_before_the_last_measurement(
    work: Work, tmp_path: Path
) -> None:
    work.noise = ("the same Bundle in two processes differed by 9%",)
    rows = {row.name: row for row in search(work, tmp_path / "size", Limits(max_ms=5, max_mb=50)).rows}
    assert rows["x-layers-6"].out == "over --max-mb 50: 60.0 MB"
    work.done = []
    rows = {row.name: row for row in search(work, tmp_path / "time", Limits(max_ms=3.5)).rows}
    assert "x-layers-6 in 1" in work.done
    assert rows["x-layers-4"].out == "over --max-ms 3.5: 4.00 [3.60, 4.40] ms"
    rows = {row.name: row for row in search(work, tmp_path / "far", Limits(max_ms=2.5)).rows}
    assert rows["x-layers-6"].out == "over --max-ms 2.5: 6.00 [5.40, 6.60] ms"
    assert rows["x-layers-6"].folds == 0


def test_untrained_students_that_were_measured_on_a_busy_machine_are_measured_again(
    work: Work, tmp_path: Path
) -> None:
    work.noise = ("the same Bundle in two processes differed by 9%",)
    work.fails = {"x-layers-4 in 1": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(work, tmp_path)
    work.noise, work.fails, work.done = (), {}, []
    search(work, tmp_path)
    assert work.done[0] == "measure 5"
    assert not any(what.startswith("untrained") for what in work.done)
    assert not (tmp_path / "untrained").exists()


def test_a_candidate_that_fails_is_out_with_its_reason_and_the_others_go_on(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work.fails = {
        "untrained x-layers-6": RunError("no such encoder"),
        "x-layers-4 in 1": RunError("loss is nan"),
        "export x-layers-2": RunError("costs too much"),
    }
    report = search(work, tmp_path)
    outs = {row.name: row.out for row in report.rows if row.out.startswith("cannot")}
    assert outs == {
        "x-layers-6": "cannot be made: no such encoder",
        "x-layers-4": "cannot be trained: loss is nan",
        "x-layers-2": "cannot be exported: costs too much",
    }
    said = capsys.readouterr().err
    assert all(f"warning: {name}: out, {reason}" in said for name, reason in outs.items())
    assert report.chosen is not None
    assert report.chosen.name == "x-layers-3"


def test_where_nothing_is_within_the_limits_nothing_is_trained_and_the_quickest_is_named(
    work: Work, tmp_path: Path
) -> None:
    with pytest.raises(RunError) as caught:
        search(work, tmp_path, Limits(max_mb=5))
    assert str(caught.value) == (
        "none of the 5 candidates is within the limits; of the quickest, x-layers-1: over --max-mb 5: 10.0 MB"
    )
    assert not any(" in " in what for what in work.done)


def test_a_finalist_that_is_over_a_limit_once_trained_is_not_recommended(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before training the interval of three layers, 2.7 to 3.3 ms, holds 2.8 ms; trained, 3 ms is too much."""
    report = search(work, tmp_path, Limits(max_ms=2.8))
    assert {row.name: row.out for row in report.rows}["x-layers-3"] == "over --max-ms 2.8: 3.00 [2.70, 3.30] ms"
    assert report.chosen is not None
    assert report.chosen.name == "x-layers-2"
    alone = search(work, tmp_path / "none", Limits(max_ms=0.95))
    assert (alone.chosen, [row.folds for row in alone.rows]) == (None, [0, 0, 0, 0, 3])
    assert alone.recommendation is not None
    assert alone.recommendation.reason[0].startswith("Nothing is recommended")


def answers(splits: Splits) -> DistillationTargets:
    """Soft targets of a teacher that is a file: it has no folds."""
    hashes = tuple(dict.fromkeys(content_hash(example) for example in splits.train))
    none = np.zeros((len(hashes), 0), dtype=np.float32)
    logits = np.zeros((len(hashes), len(splits.labels)), dtype=np.float32)
    soft = SoftTargets(
        ids=hashes,
        content_hashes=hashes,
        labels=splits.labels.names,
        outputs=Outputs(logits, none, none),
        held_out_mask=np.zeros(len(hashes), dtype=bool),
        teacher_sha256="0",
    )
    return DistillationTargets(soft)


def test_a_file_of_answers_gets_folds_that_hold_every_example_out_once(splits: Splits) -> None:
    targets = with_folds(answers(splits), splits, FOLDS)
    masks = np.stack([fold.held_out_mask for fold in targets.folds])
    assert masks.shape[0] == FOLDS
    assert (masks.sum(0) == 1).all()
    sizes = [len(part) for part in stratified_folds(encode_targets(splits.train, splits.labels), 3, 1)]
    assert sorted(masks.sum(1))[0] >= min(sizes) - 4


def test_equal_texts_are_in_one_fold(splits: Splits) -> None:
    first, *rest = splits.train
    twins = [replace(example, text=f"{first.text.upper()} !") for example in rest[:5]]
    one = replace(splits, train=[first, *twins, *rest[5:]])
    masks = np.stack([fold.held_out_mask[:6] for fold in with_folds(answers(one), one, FOLDS).folds])
    assert sorted(masks.sum(1)) == [0, 0, 6]


def test_a_teacher_without_folds_is_refused_with_the_next_step(splits: Splits) -> None:
    with pytest.raises(RunError, match=r"the teacher has no folds: train it with --set teacher\.folds=3"):
        Lesson.of(splits, answers(splits), {}, learned=True)
    assert len(Lesson.of(splits, answers(splits), {}, learned=False).targets.folds) == FOLDS
