"""`--abstain`: what is not sure enough is left to a person, in every output, and what cannot be held is said."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chain import Chain, contents_of
from click.testing import CliRunner, Result

import distill as package
from distill.cli.main import main
from distill.core.errors import ArgumentError, BundleError
from distill.runtime.bundle import Bundle, write_bundle
from distill.runtime.predictor import Predictor
from distill.scoring.selective import AnswerCut, answer_confidence


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def cautious(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The int8 Bundle with a cut that half of the test posts reach, for 0.9, and none for 0.95; and the cut."""
    predictor = Predictor.load(chain.int8)
    p = predictor.probabilities(chain.splits.test)
    confidence = np.sort(answer_confidence(p, predictor.decide(p)))
    cut = float(confidence[11] + confidence[12]) / 2
    cuts = (AnswerCut(0.9, cut, 0.5), AnswerCut(0.95, None, 0.0))
    contents = contents_of(chain.int8)
    folder = tmp_path_factory.mktemp("cautious") / "bundle"
    write_bundle(folder, replace(contents, thresholds=replace(contents.thresholds, answer_cuts=cuts)))
    return folder, cut


def test_unsure_posts_are_asked_about_and_have_no_labels(cautious: tuple[Path, float], chain: Chain) -> None:
    folder, cut = cautious
    plain = package.load(folder)
    careful = package.load(folder, abstain=0.9)
    rows = [{"text": example.text, "image": example.image} for example in chain.splits.test]
    p = plain.predict_proba(rows)
    asked = answer_confidence(p, plain.decide(p)) < cut
    assert 0 < asked.sum() < len(rows)
    for before, after, ask in zip(plain.predict_many(rows), careful.predict_many(rows), asked, strict=True):
        assert before.ask is None
        assert after.ask is bool(ask)
        assert after.labels == (() if ask else before.labels)
        assert after.probabilities == before.probabilities
        assert "ask" not in before.to_json()


def test_every_output_says_which_posts_to_ask_about(
    cautious: tuple[Path, float], chain: Chain, tmp_path: Path
) -> None:
    words = ("predict", cautious[0], chain.data, "--split", "test")
    lines = distill(*words, "--abstain", 0.9).stdout.splitlines()
    asked = [json.loads(line)["ask"] for line in lines if line.startswith("{")]
    assert set(asked) == {True, False}
    assert distill(*words, "--abstain", 0.9, "--out", tmp_path / "a.csv").exit_code == 0
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ask"] for row in rows] == [json.dumps(ask) for ask in asked]
    assert all(row["labels"] == "[]" for row in rows if row["ask"] == "true")
    parquet = pytest.importorskip("pyarrow.parquet")
    assert distill(*words, "--abstain", 0.9, "--out", tmp_path / "a.parquet").exit_code == 0
    assert parquet.read_table(tmp_path / "a.parquet")["ask"].to_pylist() == asked
    assert "ask" not in json.loads(distill(*words).stdout.splitlines()[-1])


def test_a_run_with_another_precision_is_not_resumed(
    cautious: tuple[Path, float], chain: Chain, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    words = ("predict", cautious[0], chain.data, "--split", "test", "--out", out)
    assert distill(*words, "--abstain", 0.9).exit_code == 0
    shutil.copy(out, tmp_path / "whole.jsonl")
    from distill.runtime.opened import RunOptions
    from distill.runtime.partial_file import predictor_identity

    bundle = Bundle.open(cautious[0])
    plain, careful = (predictor_identity(bundle, RunOptions(abstain=abstain)) for abstain in (None, 0.9))
    assert plain != careful


def test_what_cannot_be_held_is_refused_in_one_line(
    cautious: tuple[Path, float], chain: Chain, tmp_path: Path
) -> None:
    folder, _ = cautious
    with pytest.raises(
        BundleError, match=r"cannot hold a precision of 0.95 on dev, .*, however sure it is; give 0.9$"
    ):
        package.load(folder, abstain=0.95)
    with pytest.raises(BundleError, match=r"knows how sure an answer must be for 0.9, 0.95, not for 0.7"):
        package.load(folder, abstain=0.7)
    with pytest.raises(ArgumentError, match="abstain must be a precision"):
        package.load(folder, abstain=True)
    contents = contents_of(chain.int8)
    old = tmp_path / "old"
    write_bundle(old, replace(contents, thresholds=replace(contents.thresholds, answer_cuts=())))
    done = distill("predict", old, chain.data, "--split", "test", "--abstain", 0.9, "--out", tmp_path / "a.jsonl")
    assert done.exit_code == 2
    assert f"error: {old}: says nothing of how sure an answer must be" in done.stderr
    assert not (tmp_path / "a.jsonl").exists()


def test_a_trained_run_carries_its_cuts_into_the_bundles(chain: Chain) -> None:
    from distill.model.checkpoint import Checkpoint

    own = Checkpoint.load(chain.student).thresholds.answer_cuts
    for folder in (chain.fp32, chain.int8):
        cuts = Bundle.open(folder).thresholds.answer_cuts
        assert [cut.precision for cut in cuts] == [cut.precision for cut in own] == [0.8, 0.9, 0.95]
