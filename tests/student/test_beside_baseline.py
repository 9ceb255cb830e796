"""A baseline beside teacher and student: in pairs on the same rows, with one figure for one split."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from chain import Chain
from click.testing import CliRunner

from bench.quality.eval_set import EvalSet
from bench.quality.evaluate import evaluate
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import variant_from_path
from distill.cli.main import main
from distill.core.errors import RunError
from distill.core.output.terminal import to_text
from distill.scoring.answers import OUT_OF_FOLD
from distill.scoring.baseline import Yardstick
from distill.training.baseline import Baseline
from teacher.compare import RecipePredictions, comparison_sentences, comparison_table, evaluate_recipes


def test_its_out_of_fold_answers_are_those_that_it_was_measured_on(baseline: Path, chain: Chain) -> None:
    answers = Baseline(baseline, 0.01).answers(OUT_OF_FOLD, chain.splits)
    measured = json.loads((baseline / "metrics.json").read_text())["quality"][0]
    quality = answers.answers.quality(answers.rows)
    assert quality.micro_f1.value == pytest.approx(measured["micro_f1"]["value"])
    assert quality.micro_ap == pytest.approx(measured["micro_ap"])


def test_examples_that_no_fold_held_out_are_named(baseline: Path, chain: Chain) -> None:
    strange = replace(chain.splits, train=[*chain.splits.train, replace(chain.splits.train[0], text="never seen")])
    with pytest.raises(RunError, match="no answers out of fold for 1 of 65 training examples"):
        Baseline(baseline, 0.01).answers(OUT_OF_FOLD, strange)
    with pytest.raises(RunError, match="a Bundle has no answers out of fold"):
        Baseline(chain.int8, 0.01).answers(OUT_OF_FOLD, chain.splits)


def test_compared_recipes_stand_beside_it_on_the_same_rows(baseline: Path, chain: Chain) -> None:
    beside = Baseline(baseline, 0.02).answers(OUT_OF_FOLD, chain.splits)
    p = beside.answers.probabilities
    configs = dict.fromkeys(("first", "second"), chain.recipe.teacher)
    predictions = {name: RecipePredictions([p], (1,), 1.0) for name in configs}
    comparison = evaluate_recipes(configs, predictions, chain.splits, 2, Yardstick(0.02, beside))
    second = comparison.recipes[1]
    assert second.verdict is not None
    assert second.baseline is not None
    assert second.verdict.margin == second.baseline.verdict.margin == 0.02
    assert second.baseline.quality.micro_f1.value == second.arm.micro_f1.value  # they answer alike
    assert f"the baseline ({baseline_choice(baseline)})" in to_text(comparison_table(comparison))
    sentences = comparison_sentences(comparison)
    assert len(sentences) == 3
    assert sentences[0].startswith("second is NO BETTER than first, and NOT WORSE by more than 0.02")


def baseline_choice(folder: Path) -> str:
    return str(json.loads((folder / "baselines.json").read_text())["chosen"])


def test_the_verdict_has_the_figures_that_evaluate_has_and_the_baseline_beside_both(
    baseline: Path, chain: Chain, tmp_path: Path
) -> None:
    for name, folder in (("baseline", baseline), ("teacher", chain.teacher)):
        shutil.copytree(folder, tmp_path / name)
    words = ["train-student", "--data", str(chain.data), "--teacher", str(tmp_path / "teacher"), "--control"]
    words += ["--out", str(tmp_path / "student"), *chain.words("student.epochs=1")]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "compared with" in result.output
    metrics = json.loads((tmp_path / "student" / "metrics.json").read_text())
    verdict = metrics["distillation"]
    assert verdict["judged_on"] == "test"
    assert verdict["thresholds"]["distilled"] == "fitted on dev, 32 examples"
    test = EvalSet.from_splits(chain.splits, "test")
    for arm, folder in (("distilled", "student"), ("teacher", "teacher")):
        evaluation = evaluate(open_variant(variant_from_path(tmp_path / folder)), test)
        for f1 in ("micro_f1", "macro_f1"):
            assert verdict[arm][f1]["value"] == pytest.approx(getattr(evaluation.quality, f1).value)
    evaluation = evaluate(open_variant(variant_from_path(tmp_path / "baseline")), test)
    assert verdict["baseline"]["quality"]["micro_f1"]["value"] == pytest.approx(evaluation.quality.micro_f1.value)
    assert verdict["baseline"]["verdict"]["examples"] == 24
    assert metrics["baseline"]["verdict"]["examples"] == 32  # dev, where the student's own figures are
    shown = " ".join(result.output.split())
    assert "the student" in shown
    assert metrics["baseline"]["sentence"] in shown
    assert verdict["baseline"]["sentence"] in shown

    out = tmp_path / "evaluation.json"
    words = ["evaluate", str(tmp_path / "student"), "--data", str(chain.data), "--out", str(out), "--margin", "0.2"]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    against = json.loads(out.read_text())["baseline"]
    assert against["gain"]["micro"] == pytest.approx(verdict["baseline"]["gain"]["micro"])
    assert against["verdict"]["margin"] == 0.2
    assert against["sentence"] in " ".join(result.output.split())
    result = CliRunner().invoke(main, [*words, "--overwrite", "--baseline", "none"], catch_exceptions=False)
    assert json.loads(out.read_text())["baseline"] is None
