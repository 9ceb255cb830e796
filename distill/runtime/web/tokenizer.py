"""Turns a WordPiece tokenizer into tables by which the page tokenises exactly as it does.

What is removed, lowered, stripped or taken for punctuation depends on the Unicode tables of the tokenizers package,
which differ from a browser's. So every code point is put through the tokenizer here, and the page looks it up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from distill.core.errors import ExportError
from distill.preprocess.text import TextSpec, load_tokenizer

NORMALIZERS = ("BertNormalizer", "Lowercase", "Sequence")  # each treats a character without looking at the others
CODE_POINTS = (*range(0xD800), *range(0xE000, 0x110000))
SEPARATOR = "0"  # stands between characters, and no other character becomes it
SLICE = 4096  # code points at a time
NEXT_STEP = "serve this Bundle with distill predict"


@lru_cache(maxsize=1)  # an fp32 Bundle and the int8 one made from it have the same tokenizer
def describe_tokenizer(tokenizer_json: str, spec: TextSpec) -> dict[str, Any]:
    """The "text" of page.json: everything beside the vocabulary. Raises ExportError for a tokenizer that the page
    cannot reproduce exactly, and BundleError for a damaged one."""
    tokenizer = load_tokenizer(tokenizer_json, spec)
    check_tokenizer(tokenizer_json)
    tree = json.loads(tokenizer_json)
    model = tree["model"]
    prefix, suffix = _special_ids(tree["post_processor"])
    punctuation, spaces = _word_boundaries(tokenizer)
    removed, spaced, replaced = _normalised(tokenizer)
    return {
        "max_tokens": spec.max_tokens,
        "prefix_ids": prefix,
        "suffix_ids": suffix,
        "special_tokens": {token["content"]: token["id"] for token in tree["added_tokens"]},
        "unknown_id": model["vocab"][model["unk_token"]],
        "continuing_prefix": model["continuing_subword_prefix"],
        "max_word_length": model["max_input_chars_per_word"],
        "removed": _ranges(removed),
        "spaced": _ranges(spaced),
        "replaced": replaced,
        "spaces": _ranges(spaces),
        "punctuation": _ranges(punctuation),
        "whitespace": _ranges(code for code in CODE_POINTS if chr(code).isspace()),
    }


def check_tokenizer(tokenizer_json: str) -> None:
    """Raise ExportError for a tokenizer with any part that the page has no code for."""
    tree = json.loads(tokenizer_json)
    model, pre_tokenizer, tokens = tree["model"], tree.get("pre_tokenizer") or {}, tree.get("added_tokens") or []
    if model.get("type") != "WordPiece":
        reason = f"its model is {model.get('type')}, not WordPiece"
    elif pre_tokenizer.get("type") != "BertPreTokenizer":
        reason = f"its pre-tokenizer is {pre_tokenizer.get('type')}, not BertPreTokenizer"
    elif unknown := _normalizer_types(tree.get("normalizer")) - set(NORMALIZERS):
        reason = f"its normalizer holds {', '.join(sorted(unknown))}; expected {', '.join(NORMALIZERS)}"
    elif any(t["single_word"] or t["lstrip"] or t["rstrip"] or t["normalized"] or not t["content"] for t in tokens):
        reason = "it has added tokens that do not match literally (single_word, lstrip, rstrip or normalized)"
    elif model["unk_token"] not in model["vocab"]:
        reason = f"its vocabulary lacks {model['unk_token']}"
    else:
        return
    raise _unsupported(reason)


def _unsupported(reason: str) -> ExportError:
    return ExportError(f"the page cannot tokenise as this Bundle does: {reason}; {NEXT_STEP}")


def _normalizer_types(normalizer: dict[str, Any] | None) -> set[str]:
    if normalizer is None:
        return set()
    inner = [_normalizer_types(part) for part in normalizer.get("normalizers", ())]
    return {normalizer["type"]}.union(*inner)


def _special_ids(processor: dict[str, Any] | None) -> tuple[list[int], list[int]]:
    """The ids of the special tokens before and after a text."""
    if processor is None:
        return [], []
    if processor["type"] == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    if processor["type"] != "TemplateProcessing":
        raise _unsupported(f"its post-processor is {processor['type']}, not BertProcessing or TemplateProcessing")
    ids: tuple[list[int], list[int]] = ([], [])
    texts = 0
    for part in processor["single"]:
        if "Sequence" in part:
            texts += 1
        else:
            ids[min(texts, 1)].extend(processor["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    if texts != 1:
        raise _unsupported(f"its template holds the text {texts} times")
    return ids


def _normalised(tokenizer: Tokenizer) -> tuple[list[int], list[int], dict[str, str]]:
    """The code points that are removed, those that get a space on either side, and what other characters become."""
    removed: list[int] = []
    spaced: list[int] = []
    replaced: dict[str, str] = {}
    for codes in _slices() if tokenizer.normalizer is not None else ():
        letters = [chr(code) for code in codes if chr(code) != SEPARATOR]
        text = SEPARATOR.join(letters)
        normalised = tokenizer.normalizer.normalize_str(text)
        if normalised == text:
            continue
        for letter, form in zip(letters, normalised.split(SEPARATOR), strict=True):
            if form == "":
                removed.append(ord(letter))
            elif form == f" {letter} ":
                spaced.append(ord(letter))
            elif form != letter:
                replaced[letter] = form
    return removed, spaced, replaced


def _word_boundaries(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The code points that are a word of their own, and those that only separate words."""
    punctuation: list[int] = []
    spaces: list[int] = []
    for codes in _slices():
        text = SEPARATOR + "".join(chr(code) + SEPARATOR for code in codes)
        words = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        if len(words) == 1:
            continue
        word_lengths = [0] * len(text)  # of the word that each character is in
        for _, (start, end) in words:
            word_lengths[start:end] = [end - start] * (end - start)
        lengths = word_lengths[1::2]
        punctuation += [code for code, length in zip(codes, lengths, strict=True) if length == 1]
        spaces += [code for code, length in zip(codes, lengths, strict=True) if length == 0]
    return punctuation, spaces


def _slices() -> Iterator[Sequence[int]]:
    return (CODE_POINTS[start : start + SLICE] for start in range(0, len(CODE_POINTS), SLICE))


def _ranges(codes: Iterable[int]) -> list[list[int]]:
    """Ascending code points as [first, last] pairs."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges
