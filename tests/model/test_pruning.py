"""Smaller encoders: which layers and words stay, and that any text still finds its tokens."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, DistilBertConfig, DistilBertModel

from distill.core.errors import BackboneError
from distill.model.encoders.pruning import prune_layers, prune_vocabulary
from distill.preprocess.text import TextSpec, load_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "train", "rain", "storm", "##ing", "praise", "fear", "moon"]
PIECES = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({p: i for i, p in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    return tokenizer


def distilbert(layers: int = 6) -> DistilBertModel:
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(PIECES), dim=16, n_layers=layers, n_heads=2, hidden_dim=32)
    return DistilBertModel(config).eval()


@pytest.mark.parametrize(
    ("count", "kept"), [(6, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 3, 5]), (3, [0, 2, 5]), (2, [0, 5])]
)
def test_layers_that_stay_are_evenly_spaced_pretrained_ones(count: int, kept: list[int]) -> None:
    model, whole = distilbert(), distilbert()
    prune_layers(model, count)
    assert model.config.n_layers == count
    for layer, source in zip(model.transformer.layer, kept, strict=True):
        assert torch.equal(layer.ffn.lin1.weight, whole.transformer.layer[source].ffn.lin1.weight)
    assert model(torch.ones(1, 5, dtype=torch.int64)).last_hidden_state.shape == (1, 5, 16)


def test_layers_of_a_bert_go_the_same_way_and_alberts_are_refused() -> None:
    bert = BertModel(BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=4, num_attention_heads=2))
    prune_layers(bert, 2)
    assert len(bert.encoder.layer) == bert.config.num_hidden_layers == 2
    with pytest.raises(BackboneError, match=r"layers=5: this encoder has 2"):
        prune_layers(bert, 5)
    albert = AlbertModel(AlbertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=4, num_attention_heads=2))
    with pytest.raises(BackboneError, match="share weights"):
        prune_layers(albert, 2)


def test_a_pruned_vocabulary_reads_known_words_as_before() -> None:
    """The same pieces, and the very same hidden states: rows moved along with their ids."""
    whole, model = wordpiece(), distilbert()
    texts = ["The train", "storms"]
    before = [model(torch.tensor([whole.encode(text).ids])).last_hidden_state for text in texts]
    pruned = Tokenizer.from_str(prune_vocabulary(model, whole.to_str(), texts, 60))
    vocabulary = pruned.get_vocab()
    assert model.config.vocab_size == len(vocabulary) == model.get_input_embeddings().num_embeddings
    assert {"the", "train", "storm", "##s", *LETTERS, "##z"} <= set(vocabulary)
    assert "moon" not in vocabulary  # the last of the words that no text uses
    assert model.config.pad_token_id == vocabulary["[PAD]"] == model.get_input_embeddings().padding_idx
    for text, states in zip(texts, before, strict=True):
        encoding = pruned.encode(text)
        assert encoding.tokens == whole.encode(text).tokens
        assert torch.equal(model(torch.tensor([encoding.ids])).last_hidden_state, states)


def test_words_fill_up_in_the_vocabularys_own_order() -> None:
    """It is by falling frequency in the files of BERT's family: `the` comes before `moon`."""
    needed = 4 + 2 * len(LETTERS)
    model = distilbert()
    pruned = Tokenizer.from_str(prune_vocabulary(model, wordpiece().to_str(), [], needed + 3))
    assert set(pruned.get_vocab()) & set(WORDS) == {"the", "train", "rain"}
    same = wordpiece().to_str()
    assert prune_vocabulary(distilbert(), same, [], len(PIECES)) == same


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=200)
def test_every_text_still_finds_its_tokens(text: str) -> None:
    """A pruned vocabulary has an unknown word only where the whole one has it, and no id out of range."""
    whole = wordpiece()
    pruned = load_tokenizer(PRUNED, TextSpec(max_tokens=500, pad_id=0))
    clean = text.encode("utf-8", "replace").decode("utf-8")
    unknown = [tokenizer.encode(clean).tokens.count("[UNK]") for tokenizer in (whole, pruned)]
    assert unknown[0] == unknown[1]
    assert max(pruned.encode(clean).ids) < pruned.get_vocab_size()


PRUNED = prune_vocabulary(distilbert(), wordpiece().to_str(), ["the storm"], 57)


def test_unigram_vocabularies_keep_their_scores_and_their_unknown() -> None:
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), *((letter, -9.0) for letter in LETTERS), ("\u2581", -5.0)]
    pieces += [("\u2581the", -2.0), ("\u2581train", -3.0), ("\u2581storm", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "<unk>"])
    torch.manual_seed(0)
    config = AlbertConfig(vocab_size=len(pieces), embedding_size=8, hidden_size=16, num_attention_heads=2)
    model = AlbertModel(config).eval()
    before = model.get_input_embeddings().weight.detach().clone()
    text = prune_vocabulary(model, tokenizer.to_str(), ["storm"], 29)
    pruned = Tokenizer.from_str(text)
    assert pruned.encode("storm").tokens == ["\u2581storm"]
    assert "\u2581train" not in pruned.get_vocab()
    assert "".join(pruned.encode("train").tokens) == "\u2581train"  # letter by letter
    row = model.get_input_embeddings().weight[pruned.token_to_id("\u2581storm")]
    assert torch.equal(row, before[len(pieces) - 1])
    assert json.loads(text)["model"]["unk_id"] == pruned.token_to_id("<unk>")


def test_other_vocabularies_are_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    with pytest.raises(BackboneError, match="a BPE vocabulary cannot be pruned"):
        prune_vocabulary(distilbert(), tokenizer.to_str(), [], 2)


def test_pieces_that_the_normaliser_makes_impossible_are_passed_over() -> None:
    pieces = ["[UNK]", "[PAD]", "The", "the", "Train", "train"]
    tokenizer = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_special_tokens(["[UNK]", "[PAD]"])
    pruned = Tokenizer.from_str(prune_vocabulary(distilbert(), tokenizer.to_str(), [], 4))
    assert set(pruned.get_vocab()) == {"[UNK]", "[PAD]", "the", "train"}
