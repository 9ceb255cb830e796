"""Distillation: who is held out, what joins, and whether the verdict is to be believed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from click.testing import CliRunner
from judged import judged
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, f1_score

from distill.cli.main import main
from distill.core.errors import DataError, RunError
from distill.core.machine.cpu import detect_target
from distill.core.storage.files import read_json
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.data.unlabelled import read_unlabelled, with_unlabelled
from distill.model.checkpoint import Checkpoint
from distill.model.outputs import Outputs
from distill.model.soft_targets import SoftTargets, average_teachers
from distill.scoring.bootstrap import PairedBootstrap
from distill.scoring.calibration import label_rates
from distill.scoring.thresholds import cross_calibrated, cross_fitted
from distill.training.trainer import CheckpointFolder
from export.pipeline import ExportRequest, export_run
from student.train import DistillationTargets, fit_student, prepare_student
from teacher.soft_targets import FILE, ensemble_folds, ensemble_soft_targets


def targets_of(folder: Path, chain: Chain) -> DistillationTargets:
    train = chain.splits.train
    return DistillationTargets(ensemble_soft_targets([folder], train), ensemble_folds([folder], train))


def test_held_out_soft_targets_are_those_of_teachers_that_did_not_learn_from_the_example(
    chain: Chain, folded: Path
) -> None:
    own = targets_of(folded, chain)
    held_out = own.held_out()
    hashes = [content_hash(example) for example in chain.splits.train]
    seen = 0
    for fold, changed in zip(own.folds, held_out.folds, strict=True):
        unseen = fold.unseen(hashes)
        wanted = fold.select(hashes).logits[unseen]
        np.testing.assert_array_equal(held_out.whole.select(hashes).logits[unseen], wanted)
        assert changed is fold  # the others' teachers have learned from what its student is judged on
        seen += unseen.sum()
    assert seen == len(hashes)
    with pytest.raises(
        RunError, match=r"student\.distill\.held_out=true needs a teacher that was trained with folds"
    ):
        DistillationTargets(own.whole).held_out()


def test_labels_drawn_at_random_are_not_known_out_of_fold_by_a_student_of_held_out_soft_targets() -> None:
    generator, names = np.random.default_rng(2), tuple("abcd")
    x, y = generator.normal(size=(300, 80)), (generator.random((300, 4)) < 0.3).astype(np.float32)
    hashes, part = tuple(map(str, range(300))), generator.integers(0, 3, 300)

    def taught(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return Ridge(1.0).fit(x[rows], targets[rows]).predict(x).astype(np.float32)

    def soft(logits: np.ndarray, unseen: np.ndarray) -> SoftTargets:
        outputs = Outputs(logits, np.zeros((300, 0), np.float32), np.zeros((300, 0), np.float32))
        return SoftTargets(hashes, hashes, names, outputs, unseen, "")

    everyone = np.ones(300, bool)
    folds = [soft(taught(part != fold, y), part == fold) for fold in range(3)]
    targets = DistillationTargets(soft(taught(everyone, y), ~everyone), folds).held_out()
    answers = np.zeros_like(y)
    for fold, own in enumerate(targets.folds):
        answers[part == fold] = taught(part != fold, own.select(hashes).logits)[part == fold]
    assert average_precision_score(y.ravel(), answers.ravel()) == pytest.approx(0.3, abs=0.04)
    imitated = taught(everyone, targets.whole.select(hashes).logits)  # what it would be from all folds' teachers
    assert average_precision_score(y.ravel(), imitated.ravel()) > 0.5


def noisy(targets: np.ndarray, noise: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (1 / (1 + np.exp(-(3 * targets - 2 + noise * generator.normal(size=targets.shape))))).astype(np.float32)


def truth(rows: int, labels: int = 4) -> np.ndarray:
    return (np.random.default_rng(5).random((rows, labels)) < 0.3).astype(np.float32)


def test_a_student_that_is_better_beats_its_control_and_the_figures_are_sklearns() -> None:
    y = truth(150)
    distilled, control = [noisy(y, 1.0, s) for s in (1, 2)], [noisy(y, 3.0, s) for s in (3, 4)]
    best = noisy(y, 0.8, 9)
    verdict = judged(y, ([best], distilled, control), (13, 14), "micro")
    assert verdict.outcome == "BEATS"

    def micro(outputs: list[np.ndarray]) -> float:
        return float(
            np.mean(
                [f1_score(y, cross_fitted(p, y, "micro", rates=label_rates(y)), average="micro") for p in outputs]
            )
        )

    assert verdict.gain["micro"].value == pytest.approx(micro(distilled) - micro(control))
    assert verdict.retention["micro"].value == pytest.approx(micro(distilled) / micro([best]))
    calibrated = [cross_calibrated(p, y, rates=label_rates(y)) for p in (*distilled, *control)]
    ap = [average_precision_score(y.ravel(), p.ravel()) for p in calibrated]
    assert verdict.gain["micro_ap"].value == pytest.approx((ap[0] + ap[1] - ap[2] - ap[3]) / 2)
    assert verdict.distilled.micro_ap.value == pytest.approx((ap[0] + ap[1]) / 2)
    assert verdict.gain["micro"].low < verdict.gain["micro"].value < verdict.gain["micro"].high
    assert "BEATS its control: micro F1 +0." in verdict.sentence()
    assert "2 seeds" in verdict.sentence()


def test_equal_arms_are_no_better_and_keep_all_of_a_teacher_that_is_their_equal() -> None:
    y = truth(150)
    p = noisy(y, 2.0, 1)
    verdict = judged(y, ([p], [p], [p]), (13,), "balanced")
    assert verdict.outcome == "NO BETTER"
    assert verdict.gain["balanced"].value == 0
    assert verdict.retention["macro"].low == verdict.retention["macro"].high == 1


def test_a_handful_of_examples_is_inconclusive() -> None:
    y = truth(20)
    arms = ([noisy(y, 2, 0)], [noisy(y, 2.0, 3)], [noisy(y, 2.0, 4)])
    verdict = judged(y, arms, (13,), "balanced")
    assert verdict.outcome == "INCONCLUSIVE"


def test_differences_are_paired_and_seeds_widen_the_interval() -> None:
    """Shared luck with the examples cancels: a constant small advantage has a narrow interval."""
    y = truth(200)
    base = noisy(y, 2.0, 1)
    spoiled = base.copy()
    spoiled[:20] = 1 - spoiled[:20]
    arms = ([base], [base], [spoiled])
    single = judged(y, arms, (1,), "micro").gain["micro"]
    alone = judged(y, arms, (1,), "micro").distilled.micro_f1
    assert single.high - single.low < alone.high - alone.low
    two_seeds = ([base], [base, noisy(y, 0.5, 7)], [spoiled, spoiled])
    lucky = judged(y, two_seeds, (1, 2), "micro").gain["micro"]
    assert lucky.high - lucky.low > single.high - single.low


def test_average_precision_in_a_draw_is_sklearns_with_weights() -> None:
    y = truth(40)
    p = noisy(y, 2.0, 3)
    draws = PairedBootstrap(40, 1)
    precisions = draws._average_precision(y, p)
    for draw in (0, 1, 150, 2000):
        weights = np.repeat(draws.weights[draw], 4)
        expected = average_precision_score(y.ravel(), p.ravel(), sample_weight=weights)
        assert precisions[draw] == pytest.approx(expected)


def test_a_folds_student_never_meets_its_held_out_examples_nor_a_teacher_that_did(
    chain: Chain, folded: Path
) -> None:
    config = replace(chain.recipe.student, out_of_fold=True)
    targets = targets_of(folded, chain)
    content_hashes = [content_hash(example) for example in chain.splits.train]
    distilled = prepare_student(config, chain.splits, targets, distilled=True)
    held_out_rows = np.concatenate([fold.held_out_rows for fold in distilled.folds.parts])
    assert sorted(held_out_rows) == list(range(64))
    for fold, soft in zip(distilled.folds.parts, targets.folds, strict=True):
        assert soft.unseen(content_hashes)[fold.held_out_rows].all()
        assert len(fold.train) == 64 - len(fold.held_out_rows)
        assert fold.train.teacher is not None
        rest = np.setdiff1d(np.arange(64), fold.held_out_rows)
        assert (fold.train.teacher.logits == soft.select(content_hashes).logits[rest]).all()
    control = prepare_student(config, chain.splits, targets, distilled=False)
    assert all(fold.train.teacher is None for fold in control.folds.parts)
    pairs = zip(distilled.folds.parts, control.folds.parts, strict=True)
    assert all((a.held_out_rows == b.held_out_rows).all() for a, b in pairs)
    assert torch.equal(distilled.classifier.network.output.weight, control.classifier.network.output.weight)


@pytest.mark.slow
def test_thresholds_from_folds_travel_to_both_bundles(chain: Chain, folded: Path, tmp_path: Path) -> None:
    config = replace(chain.recipe.student, out_of_fold=True, epochs=1)
    run = fit_student(config, chain.splits, targets_of(folded, chain), CheckpointFolder(tmp_path / "run", False))
    assert str(run.thresholds.fitted_on) == "out-of-fold train, 64 examples"
    gently = replace(chain.recipe.export, convolutions="float")  # where quick enough, int8 ones of a toy are chosen
    fp32, int8 = export_run(run, chain.splits, gently, ExportRequest("int8", detect_target(), tmp_path / "bundle"))
    assert fp32.thresholds == run.thresholds
    assert str(int8.thresholds.fitted_on) == "out-of-fold train, 64 examples, carried over to int8 with 96 examples"
    assert np.abs(int8.thresholds.array() - fp32.thresholds.array()).max() < 0.05


def test_folds_that_a_teacher_has_not_are_asked_for_by_name(chain: Chain) -> None:
    config = replace(chain.recipe.student, out_of_fold=True)
    with pytest.raises(RunError, match=r"needs a teacher that was trained with folds.*teacher\.folds=3"):
        prepare_student(config, chain.splits, targets_of(chain.teacher, chain), distilled=True)


def test_an_ensemble_teaches_the_mean_logit(chain: Chain) -> None:
    first = SoftTargets.read(chain.teacher / FILE)
    second = replace(first, outputs=replace(first.outputs, logits=first.outputs.logits + 2), teacher_sha256="other")
    both = average_teachers([first, second], first.content_hashes)
    assert np.abs(both.outputs.logits - (first.outputs.logits + 1)).max() < 1e-5
    assert both.outputs.text.shape == (64, 0)
    assert both.teacher_sha256 == f"{first.teacher_sha256}+other"
    with pytest.raises(RunError, match="different labels"):
        average_teachers([first, replace(second, labels=first.labels[::-1])], first.content_hashes)
    with pytest.raises(RunError, match="folds differ"):
        average_teachers([first, replace(second, held_out_mask=~first.held_out_mask)], first.content_hashes)


def test_unlabelled_posts_join_with_the_teachers_word_alone(chain: Chain, tmp_path: Path) -> None:
    in_dev, in_train = chain.splits.dev[0], chain.splits.train[0]
    rows = [
        {"id": "known", "text": in_dev.text, "image": str(in_dev.image)},
        {"id": "new", "text": "the moon praise", "image": str(in_train.image), "labels": ["sunny"]},
        {"id": "double", "text": "the moon praise", "image": str(in_train.image)},
        {"id": "words", "text": "only words"},
    ]
    path = tmp_path / "more.json"
    path.write_text(json.dumps(rows))
    extra = read_unlabelled(path, chain.splits)
    assert len(extra) == 2  # one stands in dev, one is a double
    teacher_copy = shutil.copytree(chain.teacher, tmp_path / "teacher")
    soft = ensemble_soft_targets([teacher_copy], [*chain.splits.train, *extra])
    targets = DistillationTargets(soft, [], extra)
    distilled = prepare_student(chain.recipe.student, chain.splits, targets, distilled=True)
    assert np.isfinite(distilled.data.train.targets[:64]).all()
    assert np.isnan(distilled.data.train.targets[64:]).all()
    assert distilled.data.train.present[64:].tolist() == [[1, 1], [1, 0]]
    assert distilled.data.train.teacher is not None
    logits = Checkpoint.load(chain.teacher).logits(extra)
    assert np.abs(distilled.data.train.teacher.logits[64:] - logits).max() < 1e-4
    alone = prepare_student(chain.recipe.student, chain.splits, targets, distilled=False)
    assert len(alone.data.train) == 64
    path.write_text(json.dumps([{"id": "1", "image": "nowhere.jpg"}]))
    with pytest.raises(DataError, match="image missing or unreadable"):
        read_unlabelled(path, chain.splits)


def test_unlabelled_posts_that_the_folds_teachers_answered_join_the_students_folds(
    chain: Chain, folded: Path, tmp_path: Path
) -> None:
    path, other = tmp_path / "more.json", tmp_path / "other.json"
    path.write_text(json.dumps([{"id": "a", "text": "praise the moon"}, {"id": "b", "text": "fear the storm"}]))
    other.write_text(json.dumps([{"id": "c", "text": "nobody asked"}]))
    words = ["train-teacher", "--data", str(chain.data), *chain.words("teacher.folds=2", "teacher.epochs=1")]
    words += ["--unlabelled", str(path), "--out"]
    result = CliRunner().invoke(main, [*words, str(tmp_path / "teacher")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    known, unknown = (read_unlabelled(each, chain.splits) for each in (path, other))
    folds = ensemble_folds([tmp_path / "teacher"], chain.splits.train, [*known, *unknown])
    assert [len(fold.ids) for fold in folds] == [66, 66]
    assert not any(fold.held_out_mask[64:].any() for fold in folds)
    assert (folds[0].outputs.logits[64:] != folds[1].outputs.logits[64:]).all()
    whole = ensemble_soft_targets([tmp_path / "teacher"], [*chain.splits.train, *known, *unknown])
    targets = DistillationTargets(whole, folds, [*unknown, *known])
    config = replace(chain.recipe.student, out_of_fold=True)
    distilled = prepare_student(config, chain.splits, targets, distilled=True)
    for own, soft in zip(distilled.folds.parts, folds, strict=True):
        assert own.train.ids[-2:] == ["a", "b"]
        assert np.isnan(own.train.targets[-2:]).all()
        assert own.train.teacher is not None
        np.testing.assert_array_equal(own.train.teacher.logits[-2:], soft.outputs.logits[64:])
    control = prepare_student(config, chain.splits, targets, distilled=False)
    assert all("a" not in own.train.ids for own in control.folds.parts)
    none = ensemble_folds([folded], chain.splits.train, known)
    assert [len(fold.ids) for fold in none] == [64, 64]
    for more in ([], ["--dry-run"]):
        refused = CliRunner().invoke(main, [*words, str(tmp_path / "plain"), "--set", "teacher.folds=0", *more])
        assert "only the folds' teachers answer unlabelled rows, and teacher.folds is 0" in refused.output
    # Labelled since: its label is of no fold, and a student would be judged on it.
    since = [*chain.splits.train, replace(known[0], labels=("sunny",))]
    with pytest.raises(RunError, match="1 of 65 training examples are held out by none of the teacher's folds"):
        ensemble_folds([tmp_path / "teacher"], since)


def test_an_unlabelled_post_that_has_a_label_elsewhere_is_none(chain: Chain, tmp_path: Path) -> None:
    path, first = tmp_path / "more.json", chain.splits.train[0]
    path.write_text(json.dumps([{"id": "b", "text": "fear the storm"}]))
    fresh = Example("a", "fear the storm", None, None)
    splits = replace(chain.splits, unlabelled=[replace(first, id="again", labels=None), fresh])
    assert [example.id for example in with_unlabelled(splits, path).unlabelled] in (["a"], ["b"])


def test_the_control_experiment_from_the_command_line(chain: Chain, tmp_path: Path) -> None:
    more = tmp_path / "more.json"
    more.write_text(json.dumps([{"id": "1", "text": "fear the storm"}]))
    settings = [part for value in chain.overrides if value.startswith("student.") for part in ("--set", value)]
    words = ["train-student", "--data", str(chain.data), "--recipe", "recipes/tiny.toml", *settings]
    words += ["--set", "student.epochs=1", "--unlabelled", str(more), "--seeds", "2", "--out", str(tmp_path / "s")]
    for name in ("one", "two"):  # copies, as they write down what they say of test
        shutil.copytree(chain.teacher, tmp_path / name)
        words += ["--teacher", str(tmp_path / name)]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "distilled - control" in result.output
    assert result.output.count("epoch 1/1") == 4  # the student is its own first distilled arm
    verdict = read_json(tmp_path / "s" / "metrics.json", RunError)["distillation"]
    assert verdict["seeds"] == [13, 14]
    assert verdict["judged_on"] == "test"
    assert verdict["outcome"] in ("BEATS", "NO BETTER", "INCONCLUSIVE")
    kept = verdict["retention"]["micro"]["value"]
    assert kept == pytest.approx(
        verdict["distilled"]["micro_f1"]["value"] / verdict["teacher"]["micro_f1"]["value"]
    )
    kept_answers = np.load(tmp_path / "s" / "control.npz")
    assert {name: kept_answers[name].shape for name in kept_answers} == dict.fromkeys(
        ["targets", "teacher", "distilled-seed13", "control-seed13", "distilled-seed14", "control-seed14"], (24, 6)
    )
    again = CliRunner().invoke(main, [*words, "--resume"], catch_exceptions=False)
    assert "finished already" in again.output
    assert "Next:" not in again.output
