"""Static text encoders: vectors of tokens made of an encoder once, trained, kept and exported like others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import static_library
import torch
from chain import Chain
from click.testing import CliRunner
from onnx import numpy_helper
from static_library import StaticLibrary
from transformers import AutoModel, AutoTokenizer

from distill.cli.main import main
from distill.core.errors import BackboneError, InstallError, RecipeError, RunError
from distill.core.settings.model_config import TextTower
from distill.core.settings.recipe import Recipe
from distill.model.checkpoint import Checkpoint
from distill.model.encoders.static import Static, StaticConfig
from distill.model.encoders.static_table import SIF, static_table, table_path
from distill.model.encoders.text import LoadedText, TextEncoder, load_text, rebuild_text
from distill.model.encoders.weights import save_config
from distill.preprocess.text import load_tokenizer, tokenise
from distill.runtime.predictor import load


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StaticLibrary:
    """In place of model2vec, with an empty cache."""
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    return static_library.install(monkeypatch)


def tower(chain: Chain, **changes: object) -> TextTower:
    text = chain.recipe.teacher.text
    return replace(text, model=f"static:{text.model}", static_width=24, **changes)  # type: ignore[arg-type]


def loaded(chain: Chain, *texts: str, **changes: object) -> LoadedText:
    return load_text(tower(chain, **changes), "teacher", texts)


def features(text: LoadedText, *texts: str) -> torch.Tensor:
    token_ids = tokenise(load_tokenizer(text.tokenizer_json, text.spec), list(texts))
    width = max(map(len, token_ids))
    ids = torch.tensor([[*row, *[text.spec.pad_id] * (width - len(row))] for row in token_ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in token_ids])
    with torch.no_grad():
        result: torch.Tensor = text.encoder(ids, mask)
    return result


def test_a_text_is_the_mean_of_its_tokens_weighted_vectors() -> None:
    torch.manual_seed(0)
    static = Static(StaticConfig(7, 4))
    torch.nn.init.normal_(static.token_weights)
    ids, mask = torch.tensor([[3, 1, 5], [2, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    vectors, weights = static.embedding.weight, static.token_weights
    expected = [(vectors[3] * weights[3] + vectors[1] * weights[1] + vectors[5] * weights[5]) / 3]
    expected.append(vectors[2] * weights[2])
    assert torch.allclose(TextEncoder(static, "mean")(ids, mask), torch.stack(expected), atol=1e-6)


def test_the_table_is_in_the_order_of_the_tokenizers_ids(chain: Chain, library: StaticLibrary) -> None:
    """A token's vector is the library's times the weight of its rank; special tokens, and those that the library
    has none of, weigh nothing."""
    source = chain.recipe.teacher.text.model
    static = loaded(chain).encoder.backbone
    made, ids = library.made[0], AutoTokenizer.from_pretrained(source).get_vocab()
    assert library.calls == [24]
    products = (static.embedding.weight * static.token_weights[:, None]).detach().numpy()
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    tokens = sorted((token for token in made.tokenizer.rows if token not in special), key=ids.__getitem__)
    total = sum(1 / rank for rank in range(2, len(tokens) + 2))
    factors = []
    for rank, token in enumerate(tokens, 2):
        weight = SIF / (SIF + 1 / rank / total)
        factors.append(products[ids[token]] / (weight * made.embedding[made.tokenizer.rows[token]]))
    np.testing.assert_allclose(np.array(factors), factors[0][0], rtol=1e-4)  # one factor for the whole table
    without = [id_ for token, id_ in ids.items() if token not in tokens]
    assert len(without) >= 5
    assert not static.token_weights[without].any()
    used = static.token_weights > 0
    assert torch.allclose(static.embedding.weight[used].pow(2).mean(1), torch.ones(int(used.sum())), atol=1e-4)


def test_the_library_makes_a_table_once_and_then_the_cache_has_it(
    chain: Chain, library: StaticLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = features(loaded(chain), "the sun is out")
    static_library.remove(monkeypatch)
    assert torch.equal(features(loaded(chain), "the sun is out"), first)
    with pytest.raises(
        InstallError, match=r"which is not in the cache, needs model2vec; pip install 'distill\[static"
    ):
        load_text(replace(tower(chain), static_width=16), "teacher", [])
    source = chain.recipe.teacher.text.model
    path = table_path(AutoModel.from_pretrained(source), AutoTokenizer.from_pretrained(source), 24)
    path.write_bytes(path.read_bytes()[:-40])
    again = static_library.install(monkeypatch)
    assert torch.equal(features(loaded(chain), "the sun is out"), first)
    assert again.calls == [24]


def test_a_table_is_no_wider_than_its_encoder(chain: Chain, library: StaticLibrary) -> None:
    assert load_text(replace(tower(chain), static_width=4000), "teacher", []).encoder.width == 96
    assert library.calls == [96]


def test_an_encoder_that_the_library_cannot_take_is_one_line(
    chain: Chain, library: StaticLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no such\nvocabulary")

    import sys

    monkeypatch.setattr(sys.modules["model2vec.distill"], "distill_from_model", refuse)
    with pytest.raises(
        BackboneError, match=r"text\.model=static:.*cannot make .* \(no such vocabulary\); choose another"
    ):
        loaded(chain)


def test_an_encoder_of_whose_tokens_most_have_no_vector_is_refused(chain: Chain, library: StaticLibrary) -> None:
    library.rename = "Ġ{}"
    with pytest.raises(BackboneError, match=r"has vectors of 0 of its \d+ tokens; choose another encoder"):
        loaded(chain)


def test_a_pruned_vocabulary_keeps_vectors_and_weights_of_its_words(chain: Chain, library: StaticLibrary) -> None:
    texts = [example.text for example in chain.splits.train[:8]]
    whole, pruned = loaded(chain, *texts), loaded(chain, *texts, vocab_size=60)
    assert pruned.encoder.backbone.config.vocab_size < whole.encoder.backbone.config.vocab_size
    assert torch.allclose(features(pruned, *texts), features(whole, *texts), atol=1e-6)


def test_words_find_their_neighbours_in_the_table(chain: Chain, library: StaticLibrary) -> None:
    table = loaded(chain).encoder.pretrained_embeddings()
    assert table is not None
    assert table.shape[1] == 24


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.text.model=static", "names no encoder .* write static:ID"),
        ("teacher.text.model=static:", "names no encoder"),
        ("student.text.model=static:x student.text.layers=2", "set student.text.layers=0"),
        ("student.text.model=static:x student.text.pooling=cls", "student.text.pooling=mean"),
        ("teacher.text.static_width=2", "teacher.text.static_width must be 8 to 4,096, got 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(None, override.split())


def test_a_config_of_far_more_weights_than_the_run_has_is_refused(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(100))
    save_config(TextEncoder(Static(StaticConfig(5, 8)), "mean"), tmp_path / "text")
    assert rebuild_text(tmp_path / "text", tower(chain)).width == 8
    config = json.loads((tmp_path / "text" / "config.json").read_text())
    (tmp_path / "text" / "config.json").write_text(
        json.dumps(config | {"vocab_size": 1 << 20, "hidden_size": 4096})
    )
    with pytest.raises(RunError, match="describes 17,184,063,488 bytes of weights"):
        rebuild_text(tmp_path / "text", tower(chain))


@pytest.fixture(scope="module")
def runs(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A static teacher and its static student, from the command line; from then on model2vec is missing and the
    cache empty."""
    folder = tmp_path_factory.mktemp("static")
    source = chain.recipe.teacher.text.model
    static = ["text.static_width=24", f"text.model=static:{source}"]
    quick = ["epochs=2", "head_learning_rate=0.01"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_CACHE", str(folder / "cache"))
        static_library.install(patch)
        teacher = chain.words(*(f"teacher.{setting}" for setting in (*static, *quick)))
        run(["train-teacher", "--data", str(chain.data), "--out", str(folder / "teacher"), *teacher])
        more = (*static, *quick, "distill.text_features=0.5")
        student = chain.words(*(f"student.{setting}" for setting in more))
        words = ["--data", str(chain.data), "--teacher", str(folder / "teacher"), "--out", str(folder / "student")]
        run(["train-student", *words, *student])
        static_library.remove(patch)
        patch.setenv("DISTILL_CACHE", str(folder / "empty"))
        yield folder


def run(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


def test_training_moves_vectors_and_weights_of_the_words_that_it_sees(chain: Chain, runs: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_CACHE", str(runs / "cache"))
        before = loaded(chain).encoder.backbone
    trained = Checkpoint.load(runs / "student").classifier.network.text.backbone
    for name, value in trained.named_parameters():
        moved = (value - before.get_parameter(name)).abs()
        assert moved.max() > 1e-3, name


def test_the_bundles_answer_as_torch_does_and_keep_the_weights_of_tokens_in_float(
    chain: Chain, runs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    more = (
        "export.max_f1_drop=0.5",
        "export.allow_slower=true",
        "export.matmuls=dynamic",
        "export.convolutions=float",
    )
    run(
        [
            "export",
            str(runs / "student"),
            "--data",
            str(chain.data),
            "--int8",
            "--out",
            str(out),
            *chain.words(*more),
        ]
    )
    examples = chain.splits.dev
    expected = 1 / (1 + np.exp(-Checkpoint.load(runs / "student").logits(examples)))
    rows = [{"text": each.text, "image": each.image} for each in examples]
    np.testing.assert_allclose(load(tmp_path / "bundle-fp32").predict_proba(rows), expected, atol=1e-4)
    np.testing.assert_allclose(load(out).predict_proba(rows), expected, atol=0.1)
    tables = {tuple(each.dims): each for each in onnx.load(out / "model.onnx").graph.initializer}
    tokens = Checkpoint.load(runs / "student").classifier.network.text.backbone.config.vocab_size
    assert tables[(tokens, 24)].data_type == onnx.TensorProto.UINT8
    assert tables[(tokens,)].data_type == onnx.TensorProto.FLOAT
    assert numpy_helper.to_array(tables[(tokens,)]).max() > 0
    card, recipe = (out / "README.md").read_text(), json.loads((out / "recipe.json").read_text())
    assert "Text: static vectors of teacher-text (a local folder)" in card
    assert recipe["text"]["model"] == "static:teacher-text"


def test_a_frozen_one_begins_and_stays_as_the_table_is(chain: Chain, library: StaticLibrary) -> None:
    from teacher.train import prepare_teacher

    config = replace(chain.recipe.teacher, text=tower(chain, trainable=False))
    teacher = prepare_teacher(config, chain.splits)
    train = teacher.data.train
    assert train.text_features is not None
    expected = features(loaded(chain), *(example.text for example in chain.splits.train))
    np.testing.assert_allclose(train.text_features, expected.numpy(), atol=1e-5)


def test_the_library_gives_the_principal_components_of_each_token_alone(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("model2vec.distill")
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    source = chain.recipe.teacher.text.model
    encoder, tokenizer = AutoModel.from_pretrained(source).eval(), AutoTokenizer.from_pretrained(source)
    table = static_table(encoder, tokenizer, 24, "text.model=x")
    ids = [id_ for id_ in range(len(tokenizer)) if table.weights[id_] > 0]
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    with torch.no_grad():
        rows = torch.tensor([[cls, id_, sep] for id_ in ids])
        states = encoder(input_ids=rows).last_hidden_state.mean(1).numpy()
    similar = table.vectors[ids] @ table.vectors[ids].T / 24
    centred = states - states.mean(0)
    scores = centred @ np.linalg.svd(centred, full_matrices=False)[2][:24].T
    scores /= np.linalg.norm(scores, axis=1, keepdims=True)
    assert np.corrcoef(similar.ravel(), (scores @ scores.T).ravel())[0, 1] > 0.98
