"""Posts without a text or without an image: what the network sees of them, from training to the Bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from click.testing import CliRunner

from distill.cli.main import main
from distill.data.checks import check_splits
from distill.data.dataset import Example, read_examples
from distill.model.checkpoint import Checkpoint
from distill.model.network import TwoTowerNetwork
from distill.runtime.bundle import Bundle
from distill.runtime.predictor import Predictor


def network_of(chain: Chain) -> TwoTowerNetwork:
    return Checkpoint.load(chain.student).classifier.network


def batch_of(network: TwoTowerNetwork, rows: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    ids = torch.randint(5, 20, (rows, 6))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixels": torch.randn(rows, 3, 32, 32)}


def test_a_missing_half_leaves_no_trace(chain: Chain) -> None:
    network = network_of(chain)
    batch = batch_of(network, 4)
    other_image = batch | {"pixels": torch.randn(4, 3, 32, 32)}
    other_text = batch | {"input_ids": batch["input_ids"].flip(1)}
    no_image, no_text = torch.tensor([[1.0, 0.0]] * 4), torch.tensor([[0.0, 1.0]] * 4)
    with torch.no_grad():
        assert torch.equal(network(**batch, present=no_image), network(**other_image, present=no_image))
        assert torch.equal(network(**batch, present=no_text), network(**other_text, present=no_text))
        assert not torch.equal(network(**batch, present=no_text), network(**other_image, present=no_text))
        assert not torch.equal(network(**batch, present=no_image), network(**other_text, present=no_image))


def test_modality_dropout_takes_one_half_of_its_share_and_never_both(chain: Chain) -> None:
    network = network_of(chain)
    network.modality_dropout = 0.2
    present = torch.ones(20_000, 2)
    present[:1000, 0] = 0
    torch.manual_seed(1)
    kept = network.train().drop_modalities(present)
    assert (kept.sum(1) >= 1).all()
    assert torch.equal(kept[:1000], present[:1000])
    assert (kept[1000:] == 0).float().mean(0).tolist() == pytest.approx([0.2, 0.2], abs=0.01)


def test_training_learns_what_stands_for_a_missing_half(chain: Chain) -> None:
    network = network_of(chain)
    assert network.fusion.text_absent.abs().max() > 0
    assert network.fusion.image_absent.abs().max() > 0


def test_a_bundle_serves_both_halves_and_either_alone(chain: Chain) -> None:
    """onnxruntime against torch for the same three posts, in one batch and one by one."""
    whole = chain.splits.test[0]
    posts = [whole, replace(whole, image=None), replace(whole, text="")]
    predictor = Predictor.load(chain.fp32)
    together = predictor.probabilities(posts)
    logits = Checkpoint.load(chain.student).logits(posts)
    assert np.abs(together - 1 / (1 + np.exp(-logits))).max() < 1e-4
    for post, row in zip(posts, together, strict=True):
        alone = predictor.predict(post.text, post.image)
        assert list(alone.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-3)
    assert np.ptp(together, axis=0).max() > 1e-3


def test_predict_takes_a_text_or_an_image_alone(chain: Chain, tmp_path: Path) -> None:
    image = str(chain.splits.test[0].image)
    for words in (["--text", "the storm"], ["--image", image]):
        result = CliRunner().invoke(main, ["predict", str(chain.int8), *words], catch_exceptions=False)
        assert result.exit_code == 0
        assert len(json.loads(result.output)["probabilities"]) == 6
    rows = tmp_path / "posts.jsonl"
    rows.write_text('{"id": "a", "text": "the storm"}\n{"id": "b", "image": "' + image + '"}\n{"id": "c"}\n')
    result = CliRunner().invoke(main, ["predict", str(chain.int8), str(rows), "--out", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 1
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert "neither 'text' nor 'image'" in answers[2]["error"]
    assert CliRunner().invoke(main, ["predict", str(chain.int8)]).exit_code == 2


def test_rows_without_an_image_are_read_checked_and_counted(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text,image,labels\n1,only words,,sunny\n")
    assert read_examples(path) == [Example("1", "only words", None, ("sunny",))]
    lacking = replace(chain.splits, train=[replace(chain.splits.train[0], image=None), *chain.splits.train[1:]])
    assert "1 of 120 rows have no image" in check_splits(lacking)


def test_figures_say_what_each_half_is_worth_alone(chain: Chain) -> None:
    rows = [row["what"] for row in Bundle.open(chain.int8).figures["quality"]]
    assert "dev, text alone" in rows
    assert "dev, image alone" in rows
