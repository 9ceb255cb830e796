"""What joins the modalities, and the encoders that start from nothing: against what must not matter to them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import TINY, Chain, random_batch
from click.testing import CliRunner
from torch import nn
from towers import assert_parts_answer_as_the_whole

import distill.cli.main as cli
from distill.core.errors import BackboneError, RecipeError
from distill.core.settings.recipe import Recipe, TeacherConfig
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.encoders.image import ImageEncoder
from distill.model.encoders.lstm import Lstm, LstmConfig, train_tokenizer
from distill.model.encoders.weights import fingerprint
from distill.model.fusion import CrossModal
from distill.model.network import TwoTowerNetwork
from distill.runtime.onnx.session import open_session, run_session
from distill.runtime.onnx.tower_sessions import TextAlone, open_towers
from distill.training.run_writer import RunStart, begin_run
from distill.training.trainer import CheckpointFolder
from export.to_onnx import to_onnx
from teacher.train import fit_teacher


def cross() -> CrossModal:
    torch.manual_seed(0)
    return CrossModal(text=12, image=6, cells=4, width=16, dropout=0.0).eval()


def inputs(rows: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    text, image = (torch.randn(rows, n, w, generator=generator) for n, w in ((5, 12), (4, 6)))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])[:rows]
    return text, mask, image, torch.ones(rows, 2)


def test_padding_does_not_matter_to_the_transformer() -> None:
    fusion, (text, mask, image, present) = cross(), inputs()
    other_padding = torch.where(mask[:, :, None] == 0, torch.full_like(text, 9.0), text)
    assert torch.allclose(
        fusion(text, mask, image, present), fusion(other_padding, mask, image, present), atol=1e-6
    )
    shorter = fusion(text[1:2, :2], mask[1:2, :2], image[1:2], present[1:2])
    assert torch.allclose(fusion(text, mask, image, present)[1:2], shorter, atol=1e-6)


def test_what_an_example_lacks_does_not_matter_and_the_rest_does() -> None:
    fusion, (text, mask, image, _) = cross(), inputs()
    for column, changed in ((0, (-text, mask, image)), (1, (text, mask, -image))):
        present = torch.ones(3, 2)
        assert not torch.allclose(fusion(text, mask, image, present), fusion(*changed, present), atol=1e-3)
        present[:, column] = 0
        assert torch.allclose(fusion(text, mask, image, present), fusion(*changed, present), atol=1e-6)
    nothing = fusion(text, mask, image, torch.zeros(3, 2))
    assert torch.isfinite(nothing).all()
    assert torch.allclose(nothing[0], nothing[1], atol=1e-6)


def test_each_modality_sees_the_other() -> None:
    """The text's half of the result moves with the image, and the image's with the text."""
    fusion, (text, mask, image, present) = cross(), inputs()
    before = fusion(text, mask, image, present)
    with_other_image, with_other_text = (
        fusion(text, mask, -image, present),
        fusion(-text, mask, image, present),
    )
    assert not torch.allclose(before[:, :16], with_other_image[:, :16], atol=1e-3)
    assert not torch.allclose(before[:, 16:], with_other_text[:, 16:], atol=1e-3)


def test_the_grid_of_a_network_pools_to_its_features() -> None:
    from torchvision.models import get_model

    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for name in ("resnet18", "mobilenet_v2", "efficientnet_b0"):
        backbone = get_model(name, weights=None)
        for last in ("fc", "classifier"):
            if hasattr(backbone, last):
                setattr(backbone, last, nn.Identity())
        pooled, grid = (ImageEncoder(backbone, 64, grid).eval() for grid in (False, True))
        assert grid.shape == (4, *pooled.shape)
        with torch.no_grad():
            assert torch.allclose(grid(pixels).mean(1), pooled(pixels), atol=1e-5)
    with pytest.raises(BackboneError, match=r"shows no grid of features; take head\.fusion=concat"):
        ImageEncoder(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), 8, grid=True)


def test_padding_does_not_matter_to_the_lstm_and_it_reads_both_ways() -> None:
    torch.manual_seed(0)
    lstm = Lstm(LstmConfig(50, dropout=0.0)).eval()
    ids = torch.tensor([[5, 6, 7, 0, 0], [5, 6, 7, 8, 9]])
    mask = (ids > 0).long()
    states = lstm(ids, mask).last_hidden_state
    alone = lstm(ids[:1, :3], mask[:1, :3]).last_hidden_state
    assert torch.allclose(states[0, :3], alone[0], atol=1e-6)
    assert not torch.allclose(states[0, 0], states[1, 0], atol=1e-4)  # the first word knows what follows
    assert lstm(ids[:1] * 0, mask[:1] * 0).last_hidden_state.shape == (1, 5, 256)


def test_word_pieces_are_learned_from_the_texts_and_know_any_other() -> None:
    tokenizer = train_tokenizer(["WHO DID THIS", "who did that", "THIS IS FINE"] * 5)
    assert tokenizer.encode("who did this").tokens == ["[CLS]", "who", "did", "this", "[SEP]"]
    assert tokenizer.token_to_id("[PAD]") == 0
    assert tokenizer.encode("\N{PILE OF POO}").tokens[1] == "[UNK]"


def test_what_starts_from_nothing_starts_the_same_from_the_same_seed_and_texts(chain: Chain) -> None:
    words = ("teacher.text.model=lstm", "teacher.image.model=cnn", "teacher.image.trainable=true")
    config = teacher_config(chain, *words)
    texts = [example.text for example in chain.splits.train]
    first = Classifier.pretrained("teacher", config, chain.splits.labels, texts)
    torch.rand(3)  # whatever else drew numbers before
    second = Classifier.pretrained("teacher", config, chain.splits.labels, texts)
    assert first.tokenizer_json == second.tokenizer_json
    assert fingerprint(first.network) == fingerprint(second.network)
    other_seed = Classifier.pretrained("teacher", replace(config, seed=99), chain.splits.labels, texts)
    assert fingerprint(other_seed.network.text) != fingerprint(first.network.text)


def test_a_network_of_one_modality_does_not_run_the_other_encoder(chain: Chain) -> None:
    for used, unused in (("text", "image"), ("image", "text")):
        head = replace(chain.recipe.teacher.head, modalities=used)
        config = replace(chain.recipe.teacher, head=head)  # type: ignore[arg-type]
        model = Classifier.pretrained("teacher", config, chain.splits.labels, ["a text"])
        monkey(model.network, unused)
        encoded = model.encode(chain.splits.train[:4])
        assert np.isfinite(model.logits(encoded)).all()
        assert np.allclose(model.logits(encoded), model.logits(encoded.without(unused)))  # type: ignore[arg-type]


def monkey(network: TwoTowerNetwork, unused: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError(f"{unused} was run")

    getattr(network, unused).backbone.register_forward_pre_hook(refuse)


@pytest.mark.parametrize(
    "changed",
    [
        ("teacher.head.fusion=transformer",),
        ("teacher.text.model=lstm", "teacher.image.model=cnn", "teacher.image.trainable=true"),
        ("teacher.loss=asymmetric", "teacher.class_weights=effective_number", "teacher.head.modalities=text"),
    ],
    ids=["transformer", "from nothing", "text alone, asymmetric"],
)
def test_each_teacher_trains_is_kept_and_answers_the_same_again(
    chain: Chain, tmp_path: Path, changed: tuple[str, ...]
) -> None:
    config = teacher_config(chain, *changed, "teacher.epochs=2")
    begin_run(tmp_path / "run", RunStart("teacher", config, chain.splits), resume=False, overwrite=False)
    trained = fit_teacher(config, chain.splits, CheckpointFolder(tmp_path / "run", resume=False))
    again = Checkpoint.load(tmp_path / "run")
    expected = trained.logits(chain.splits.test)
    assert np.isfinite(expected).all()
    assert np.allclose(again.logits(chain.splits.test), expected, atol=1e-5)


@pytest.mark.parametrize("changed", ["teacher.head.fusion=transformer", "teacher.head.modalities=text"])
def test_a_teachers_onnx_file_takes_batches_of_any_size(chain: Chain, tmp_path: Path, changed: str) -> None:
    config = teacher_config(chain, changed)
    classifier = Classifier.pretrained("teacher", config, chain.splits.labels, [e.text for e in chain.splits.train])
    to_onnx(classifier, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx", 1)
    for rows, tokens in ((1, 5), (3, 7), (5, 4)):
        batch = random_batch(rows, tokens)
        np.testing.assert_allclose(run_session(session, batch), classifier.batch_logits(batch), atol=1e-4)
    if config.head.modalities == "text":
        alone = open_towers(tmp_path / "model.onnx")
        assert isinstance(alone, TextAlone)  # there is nothing to cut
        np.testing.assert_array_equal(alone.run(batch), run_session(session, batch))
    else:
        assert_parts_answer_as_the_whole(tmp_path / "model.onnx", rounding=1e-5)


def teacher_config(chain: Chain, *changed: str) -> TeacherConfig:
    tiny = TINY
    return Recipe.load(tiny, (*chain.overrides, *changed)).teacher


def test_what_does_not_go_together_is_refused(chain: Chain) -> None:
    for changed, message in (
        (
            ("teacher.image.model=cnn", "teacher.image.trainable=false"),
            r"has no pretrained weights; set teacher\.image\.trainable=true",
        ),
        (("teacher.loss=asymmetric", "teacher.class_weights=focal_alpha"), 'needs loss="focal"'),
        (("student.head.fusion=transformer",), "fusions but concat are for teachers"),
        (("teacher.asymmetric.clip=1.0",), r"clip must be in \[0, 1\)"),
    ):
        with pytest.raises(RecipeError, match=message):
            teacher_config(chain, *changed)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "comparison.json", "started.json"])
def test_a_teacher_to_try_has_a_name_that_can_be_a_folders(name: str, chain: Chain, tmp_path: Path) -> None:
    words = ["compare-teachers", "--data", str(chain.data), "--out", str(tmp_path / "out"), "--try", name]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 2
    assert "--try: give each teacher a name of its own" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_teachers_are_compared_on_the_same_folds_and_a_broken_comparison_goes_on(
    chain: Chain, tmp_path: Path
) -> None:
    tiny = TINY
    settings = [word for override in (*chain.overrides, "teacher.epochs=1") for word in ("--set", override)]
    words = ["compare-teachers", "--data", str(chain.data), "--out", str(tmp_path / "out"), "--recipe", str(tiny)]
    words += [
        *settings,
        "--report-to",
        "tensorboard",
        "--folds",
        "2",
        "--seeds",
        "2",
        "--try",
        "concat",
        "--try",
        "text=teacher.head.modalities=text",
    ]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [recipe["name"] for recipe in comparison["recipes"]] == ["concat", "text"]
    assert comparison["recipes"][0]["gain"] is None
    gain, arms = (
        comparison["recipes"][1]["gain"]["micro"],
        [r["arm"]["micro_f1"]["value"] for r in comparison["recipes"]],
    )
    assert gain["value"] == pytest.approx(arms[1] - arms[0])
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert comparison["constant_gain"]["macro"]["value"] == pytest.approx(
        comparison["constant"]["macro_f1"]["value"] - comparison["recipes"][0]["arm"]["macro_f1"]["value"]
    )
    assert len(comparison["recipes"][0]["epochs"]) == 4
    assert not list((tmp_path / "out").rglob("checkpoint-*"))
    (tmp_path / "out" / "text" / "seed14" / "fold2.float32").unlink()
    again = CliRunner().invoke(cli.main, [*words, "--resume"])
    assert again.exit_code == 0, again.output
    assert again.output.count("fold 2 of 2") == 1
    resumed = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [recipe["arm"] for recipe in resumed["recipes"]] == [recipe["arm"] for recipe in comparison["recipes"]]
