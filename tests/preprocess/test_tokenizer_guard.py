"""Tokenizers of the encoders in use pass the guard, and texts of any kind cost little with each."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hostile_tokenizers import charsmap
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from distill.core.errors import BundleError
from distill.model.encoders.lstm import train_tokenizer
from distill.preprocess import tokenizer_guard
from distill.preprocess.text import TextSpec, load_tokenizer, tokenise
from distill.preprocess.tokenizer_guard import check_tokenizer

SPEC = TextSpec(max_tokens=16, pad_id=0)
ENDS = [("[CLS]", 1), ("[SEP]", 2)]


def bert() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.BertNormalizer()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    return tokenizer


def unigram(*steps: Any) -> Tokenizer:
    """As ALBERT's and XLM-R's converters make one, with a map of their form."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("▁b", -1.0)], 0, False))
    mapped = normalizers.Precompiled(base64.b64decode(charsmap("b")))
    tokenizer.normalizer = normalizers.Sequence([*steps, mapped, normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ENDS
    )
    return tokenizer


def albert() -> Tokenizer:
    quotes = (normalizers.Replace("``", '"'), normalizers.Replace("''", '"'))
    return unigram(*quotes, normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase())


def roberta() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE({"a": 0, "[CLS]": 1, "[SEP]": 2, "Ġ": 3, "Ġa": 4}, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    return tokenizer


TOKENIZERS = {
    "bert": bert(),
    "albert": albert(),
    "xlm-roberta": unigram(),
    "roberta": roberta(),
    "lstm": train_tokenizer(["a b", "c"]),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_tokenizers_of_the_encoders_in_use_pass_and_tokenise_as_before(name: str) -> None:
    loaded = load_tokenizer(TOKENIZERS[name].to_str(), SPEC)
    (ids,) = tokenise(loaded, ["a  ``a'' é 政"])
    assert ids == TOKENIZERS[name].encode("a  ``a'' é 政").ids


def test_a_text_that_a_normalizer_makes_far_longer_is_cut_where_no_token_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizer_guard, "LONG_TEXT", 100)
    monkeypatch.setattr(tokenizer_guard, "MAX_NORMALIZED", 2000)
    loaded = load_tokenizer(albert().to_str(), SPEC)
    text = "ﷺ a " * 500  # the first character alone becomes 18
    assert len(tokenizer_guard.cut(loaded, text)) <= 2000
    assert tokenise(loaded, [text]) == [loaded.encode(text).ids]
    assert tokenizer_guard.cut(loaded, "a" * 2000) == "a" * 2000


def test_old_files_do_not_name_their_model_and_are_bounded_all_the_same() -> None:
    tree = json.loads(bert().to_str())
    del tree["model"]["type"]
    check_tokenizer(json.dumps(tree))
    tree["model"]["max_input_chars_per_word"] = 10**9
    with pytest.raises(BundleError, match="max_input_chars_per_word=1000000000; expected a whole number from 1"):
        check_tokenizer(json.dumps(tree))
