"""A student that is taught by answers in a file, alone or beside a teacher's run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import TINY, Chain
from click.testing import CliRunner
from judged import judged
from torch import Tensor

import distill
from distill.cli.main import main
from distill.core.errors import DistillError, OutputError, RunError
from distill.core.storage.files import read_json, sha256_of
from distill.data.answers import AnswersFile
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.model.dataset import BatchTargets
from distill.model.outputs import Outputs
from student.losses import DistillationLoss, kd_loss, relation_loss
from student.train import DistillationTargets, prepare_student
from student.verdict import show_verdict
from teacher.soft_targets import ensemble_folds, ensemble_soft_targets
from teacher.teachers import Teachers


def write_answers(path: Path, labels: Sequence[str], examples: Sequence[Example], seed: int = 0) -> Path:
    """Probabilities that are mostly right."""
    generator = np.random.default_rng(seed)
    rows = []
    for example in examples:
        own = {name: round(float(generator.uniform(0.0, 0.4)), 3) for name in labels}
        rows.append({"id": example.id, **own, **{name: 0.9 for name in example.labels or () if name in own}})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answers_for(chain: Chain, path: Path, examples: Sequence[Example]) -> Teachers:
    labels = chain.splits.labels
    return Teachers([], AnswersFile.open(write_answers(path, labels.names, examples)).read(labels))


def with_gaps(array: np.ndarray, gaps: np.ndarray) -> Tensor:
    return torch.tensor(np.where(gaps, np.nan, array))


def test_where_the_teacher_says_nothing_nothing_is_learned_of_it() -> None:
    """The terms are those of the batch without the rows and labels that have no answer."""
    generator = np.random.default_rng(3)
    s, t = torch.tensor(generator.normal(size=(8, 4)), requires_grad=True), generator.normal(size=(8, 4))
    rows = np.zeros((8, 4), dtype=bool)
    rows[[1, 5]] = True
    rest = [0, 2, 3, 4, 6, 7]
    gaps = with_gaps(t, rows)
    assert kd_loss(s, gaps, 2.0).item() == pytest.approx(kd_loss(s[rest], gaps[rest], 2.0).item())
    assert relation_loss(s, gaps).item() == pytest.approx(relation_loss(s[rest], gaps[rest]).item())
    (kd_loss(s, gaps, 2.0) + relation_loss(s, gaps)).backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()
    assert (s.grad[[1, 5]] == 0).all()
    columns = np.zeros((8, 4), dtype=bool)
    columns[:, 2] = True
    kept, gaps = [0, 1, 3], with_gaps(t, columns)
    assert kd_loss(s, gaps, 2.0).item() == pytest.approx(kd_loss(s[:, kept], gaps[:, kept], 2.0).item())
    smaller = relation_loss(s[:, kept], gaps[:, kept]).item() * 9 / 16  # a mean over pairs of labels
    assert relation_loss(s, gaps).item() == pytest.approx(smaller)


def test_a_batch_without_answers_learns_from_its_labels_alone(chain: Chain) -> None:
    config = replace(chain.recipe.student, distill=replace(chain.recipe.student.distill, label_relations=1.0))
    logits, labels = torch.randn(5, 3), torch.ones(5, 3)
    outputs = Outputs(logits, torch.zeros(5, 4), torch.zeros(5, 4))
    nothing = Outputs(torch.full((5, 3), torch.nan), torch.zeros(5, 0), torch.zeros(5, 0))
    loss = DistillationLoss(config, Outputs(3, 4, 4), Outputs(3, 0, 0))
    with_nothing = loss(outputs, BatchTargets(labels, nothing)).item()
    assert with_nothing == pytest.approx(loss(outputs, BatchTargets(labels)).item())


def test_answers_find_their_examples_by_id_and_equal_posts_share_theirs(chain: Chain, tmp_path: Path) -> None:
    train = chain.splits.train
    twin = replace(train[0], id="twin")
    teachers = answers_for(chain, tmp_path / "a.jsonl", [*train[:10], twin])
    assert teachers.answers is not None
    soft = teachers.soft_targets([*train, twin])
    said = teachers.answers.logits()
    selected = soft.select([content_hash(example) for example in train]).logits
    assert selected[1:10] == pytest.approx(said[1:10])
    assert selected[0] == pytest.approx((said[0] + said[10]) / 2)
    assert np.isnan(selected[10:]).all()
    assert not soft.held_out_mask.any()
    assert soft.teacher_sha256 == sha256_of(tmp_path / "a.jsonl")


def test_beside_a_run_answers_are_one_teacher_more_in_logits(chain: Chain, folded: Path, tmp_path: Path) -> None:
    train = chain.splits.train
    alone = answers_for(chain, tmp_path / "a.jsonl", train[:10])
    assert alone.answers is not None
    both = Teachers([folded], alone.answers)
    hashes, said = [content_hash(example) for example in train], alone.answers.logits()
    run = ensemble_soft_targets([folded], train).select(hashes)
    mean = both.soft_targets(train).select(hashes)
    assert mean.logits[:10] == pytest.approx((run.logits[:10] + said) / 2, abs=1e-5)
    assert (mean.logits[10:] == run.logits[10:]).all()
    assert (mean.text == run.text).all()  # one run's features can be matched all the same
    third = ensemble_soft_targets([folded], train).with_answers(alone.soft_targets(train), 2).select(hashes)
    assert third.logits[:10] == pytest.approx((2 * run.logits[:10] + said) / 3, abs=1e-5)
    for fold, own in zip(both.folds(train), ensemble_folds([folded], train), strict=True):
        assert (fold.held_out_mask == own.held_out_mask).all()
        expected = (own.select(hashes).logits[:10] + said) / 2
        assert fold.select(hashes).logits[:10] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(RunError, match=r"out_of_fold=true needs the folds of a --teacher, and a file of answers"):
        alone.folds(train)


def test_features_that_answers_have_not_are_refused_before_encoders_are_loaded(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("student.train.Classifier", None)
    config = chain.recipe.student
    config = replace(config, distill=replace(config.distill, text_features=1.0))
    soft = answers_for(chain, tmp_path / "a.jsonl", chain.splits.train).soft_targets(chain.splits.train)
    with pytest.raises(
        RunError, match=r"text_features=1\.0: .* answers have none; set student\.distill\.text_feat"
    ):
        prepare_student(config, chain.splits, DistillationTargets(soft), distilled=True)


def test_a_verdict_without_the_teachers_answers_judges_the_students(capsys: pytest.CaptureFixture[str]) -> None:
    y = (np.random.default_rng(5).random((40, 3)) < 0.4).astype(np.float32)
    p = np.random.default_rng(6).random((40, 3)).astype(np.float32)
    verdict = judged(y, ([], [p], [p]), (1,), "micro")
    assert verdict.teacher is None
    assert verdict.to_json()["retention"] == {}
    assert verdict.sentence().endswith("the teacher did not answer for these rows")
    show_verdict(verdict)
    shown = capsys.readouterr().out
    assert "distilled - control" in shown
    assert "distilled / teacher" not in shown


def test_answers_train_a_student_with_its_control_from_the_command_line(chain: Chain, tmp_path: Path) -> None:
    splits = chain.splits
    more = [{"id": f"new-{number}", "text": f"fear the storm {number}"} for number in range(3)]
    (tmp_path / "more.json").write_text(json.dumps(more))
    posts = [*splits.train[:40], *splits.test[:2], Example("new-0", "", None, ("fear",))]
    answers = write_answers(tmp_path / "answers.jsonl", splits.labels.names, posts)
    out = tmp_path / "student"
    words = ["train-student", "--data", str(chain.data), "--teacher-answers", str(answers), "--control"]
    words += ["--unlabelled", str(tmp_path / "more.json"), "--out", str(out), *chain.words("student.epochs=1")]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "answers.jsonl: probabilities of 6 labels for 43 ids" in said
    assert "teaches 41 of 67 training rows; used as it is, not calibrated (mean 0." in said
    assert "; temperature 2, weight 1 beside 1 of the labels" in said
    assert "2 of 3 unlabelled rows have no answer either, and are left out" in said
    assert "test: the teacher's answers do not cover these rows" in said
    assert "the teacher did not answer for these rows" in said
    metrics = read_json(out / "metrics.json", RunError)
    assert metrics["teacher_sha256"] == sha256_of(answers)
    assert metrics["distillation"]["teacher"] is None
    assert set(np.load(out / "control.npz")) == {"targets", "distilled-seed13", "control-seed13"}
    depends_on = read_json(out / "started.json", RunError)["depends_on"]
    assert depends_on["teacher_answers"] == sha256_of(answers)
    assert (depends_on["answers_are"], depends_on["teachers"]) == ("probabilities", [])
    again = CliRunner().invoke(main, [*words, "--resume"])
    assert "finished already" in again.output
    write_answers(answers, splits.labels.names, posts, seed=1)
    other = CliRunner().invoke(main, [*words, "--resume"])
    assert other.exit_code == 2
    assert "was started with teacher_answers=" in other.output


def test_what_makes_no_sense_is_refused_before_training(chain: Chain, tmp_path: Path) -> None:
    answers = write_answers(tmp_path / "answers.jsonl", chain.splits.labels.names[1:], chain.splits.train)
    settings = {"recipe": TINY, "overrides": chain.overrides}
    missing = rf"has no answers for the labels '{chain.splits.labels.names[0]}'"
    with pytest.raises(DistillError, match=missing):
        distill.train_student(chain.data, tmp_path / "s", teacher_answers=answers, **settings)  # type: ignore[arg-type]
    with pytest.raises(DistillError, match=missing):
        distill.finetune_int8(chain.student, chain.data, tmp_path / "s", teacher_answers=answers, **settings)  # type: ignore[arg-type]
    with pytest.raises(DistillError, match="give a teacher"):
        distill.train_student(chain.data, tmp_path / "s")
    with pytest.raises(OutputError, match=r"is or holds .*answers\.jsonl, which is read"):
        distill.train_student(chain.data, tmp_path, teacher_answers=answers, overwrite=True)
    with pytest.raises(OutputError, match=r"is or holds .*more\.json, which is read"):
        distill.train_student(chain.data, tmp_path, teacher=chain.teacher, unlabelled=tmp_path / "more.json")
    assert not (tmp_path / "s").exists()
