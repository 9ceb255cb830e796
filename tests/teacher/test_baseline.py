"""`distill baseline`: what frozen encoders and logistic regression give, and the run that it leaves."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import static_library
from chain import Chain
from click.testing import CliRunner

from distill.cli.main import main
from distill.core.errors import ArgumentError, RecipeError
from distill.core.output.terminal import to_text
from distill.core.settings.schema import flatten
from distill.model.checkpoint import Checkpoint
from distill.runtime.predictor import load
from teacher.baseline import PARTS, Baselines, _probe_config, baseline_table, check_use, unread_settings


def test_every_baseline_is_measured_beside_the_chosen_one(baseline: Path) -> None:
    measured = Baselines.read(baseline)
    shown = to_text(baseline_table(measured))
    assert all(name in shown for name in ("n-grams", "text + image", "always"))
    rows = measured.comparison.recipes
    assert {row.name for row in rows} == set(PARTS)
    assert [row.name for row in rows if row.gain is None] == [measured.chosen]
    assert measured.costs["n-grams"].size_bytes < measured.costs["text + image + n-grams"].size_bytes
    assert json.loads((baseline / "baselines.json").read_text())["comparison"]["folds"] == 2


def test_it_leaves_a_run_that_teaches_and_is_exported(baseline: Path, chain: Chain, tmp_path: Path) -> None:
    """The Bundle answers a batch as torch does, so that batch and text length are free in its graph."""
    bundle = tmp_path / "bundle"
    words = ["export", str(baseline), "--data", str(chain.data), "--out", str(bundle), *chain.words()]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    examples = chain.splits.dev[:20]
    expected = 1 / (1 + np.exp(-Checkpoint.load(baseline).logits(examples)))
    rows = [{"text": each.text, "image": each.image} for each in examples]
    np.testing.assert_allclose(load(bundle).predict_proba(rows), expected, atol=1e-4)
    student = ["train-student", "--data", str(chain.data), "--teacher", str(baseline), "--out", str(tmp_path / "s")]
    result = CliRunner().invoke(main, [*student, *chain.words("student.epochs=1")])
    assert result.exit_code == 0, result.output


def test_one_of_texts_alone_is_exported_in_int8(chain: Chain, tmp_path: Path) -> None:
    out, bundle = tmp_path / "run", tmp_path / "bundle"
    more = ["teacher.folds=2", "export.max_f1_drop=0.5", "export.matmuls=dynamic", "export.convolutions=float"]
    words = ["baseline", "--data", str(chain.data), "--out", str(out), "--use", "n-grams", *chain.words(*more)]
    assert CliRunner().invoke(main, words).exit_code == 0
    words = ["export", str(out), "--data", str(chain.data), "--int8", "--out", str(bundle), *chain.words(*more)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert (bundle / "model.onnx").stat().st_size < 0.5 * (tmp_path / "bundle-fp32" / "model.onnx").stat().st_size


def test_without_images_only_texts_are_read(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a library for them, static vectors are left out with a note, or refused where they are wanted."""
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    static_library.remove(monkeypatch)
    rows = [{"id": each.id, "text": each.text, "labels": list(each.labels)} for each in chain.splits.train]
    (tmp_path / "data").mkdir()
    for name, part in (("train", rows[:40]), ("dev", rows[40:])):
        (tmp_path / "data" / f"{name}.json").write_text(json.dumps(part))
    words = ["baseline", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(main, [*words, "--use", "image", *chain.words("teacher.folds=2")])
    assert "no training example has what it reads; choose n-grams, text" in refused.output
    result = CliRunner().invoke(main, [*words, *chain.words("teacher.folds=2"), "--overwrite"])
    assert result.exit_code == 0, result.output
    assert {row.name for row in Baselines.read(tmp_path / "run").comparison.recipes} == {"n-grams", "text"}
    assert "without static baselines: teacher.text.model=static:" in result.output
    assert "needs model2vec; pip install 'distill[static]'" in result.output
    wanted = [*words, "--use", "static", *chain.words("teacher.folds=2"), "--overwrite"]
    result = CliRunner().invoke(main, wanted)
    assert result.exit_code == 2
    assert "needs model2vec; pip install 'distill[static]'" in result.output


def test_a_static_encoder_has_no_static_baselines_beside_it(chain: Chain) -> None:
    config = replace(chain.recipe.teacher, text=replace(chain.recipe.teacher.text, model="static:encoder"))
    with pytest.raises(RecipeError, match=r'encoder is static itself; give --use "text \+ image"'):
        check_use(config, chain.splits, "static + image")
    check_use(config, chain.splits, "text")


def test_what_no_baseline_reads_are_the_settings_that_it_has_of_its_own(chain: Chain) -> None:
    """And those that only a training reads; each of the others is a recipe's."""
    config = chain.recipe.teacher
    differing = replace(
        config,
        text=replace(config.text, trainable=not config.text.trainable, ngrams="off", layers=1, vocab_size=64),
        head=replace(config.head, modalities="text"),
        augment=replace(config.augment, word_edit_rate=0.5, token_mask_rate=0.5, image_strength=0.5),
        image=replace(config.image, trainable=True),
        head_start="random",
        loss="asymmetric",
        epochs=3,
    )
    own = flatten(asdict(differing))
    probes = [
        flatten(asdict(_probe_config(differing, part, 2))) for part in PARTS.values() if part.ngrams != "only"
    ]
    fixed = {f"teacher.{key}" for key, value in own.items() if any(each[key] != value for each in probes)}
    unread = set(unread_settings())
    assert fixed - {"teacher.folds"} <= unread
    read = {"text.model", "text.layers", "text.vocab_size", "text.static_width", "image.size", "folds", "seed"}
    assert not unread & {f"teacher.{key}" for key in read}


def test_a_setting_that_no_baseline_reads_is_warned_of(chain: Chain, tmp_path: Path) -> None:
    more = chain.words("teacher.folds=2", "teacher.focal.gamma=1", "teacher.epochs=3", "student.epochs=1")
    words = ["baseline", "--data", str(chain.data), "--out", str(tmp_path / "run"), "--use", "text"]
    written = " ".join(CliRunner().invoke(main, [*words, *more]).output.split())
    keys, nothing, _ = written.partition(" change nothing: a baseline fits a head to frozen features once")
    assert nothing
    assert {"teacher.focal.gamma", "teacher.epochs"} <= set(re.split("[, ]+", keys))
    assert "student.epochs" in written.partition(" change nothing: this command reads teacher.*")[0]


def test_an_unknown_baseline_is_refused(chain: Chain, tmp_path: Path) -> None:
    from distill.api import fit_baselines

    with pytest.raises(ArgumentError, match="use must be one of n-grams, text, image"):
        fit_baselines(chain.data, tmp_path / "run", use="words")
