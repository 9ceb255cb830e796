"""A tokenizer in the page's words: what it does to each character, found by asking it. Knows WordPiece alone.

What is removed, lowered, stripped or taken for punctuation depends on the Unicode tables of the tokenizers package,
which are others than a browser's. So every code point is put to the tokenizer here, and the page looks it up.
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
MARK = "0"  # stands between characters, and no other character becomes it
PIECE = 4096
NEXT = "serve this Bundle with distill predict"


@lru_cache(maxsize=1)  # an fp32 Bundle and its int8 child have the same
def describe(tokenizer_json: str, spec: TextSpec) -> dict[str, Any]:
    """What page.json says of it beside the vocabulary. Raises ExportError for what the page cannot do exactly, and
    BundleError for a tokenizer that is none."""
    tokenizer = load_tokenizer(tokenizer_json, spec)
    refuse_others(tokenizer_json)
    tree = json.loads(tokenizer_json)
    model = tree["model"]
    before, after = _around(tree["post_processor"])
    alone, spaces = _cuts(tokenizer)
    removed, apart, becomes = _changes(tokenizer)
    return {
        "max_tokens": spec.max_tokens,
        "before": before,
        "after": after,
        "special": {token["content"]: token["id"] for token in tree["added_tokens"]},
        "unknown": model["vocab"][model["unk_token"]],
        "continuing": model["continuing_subword_prefix"],
        "longest_word": model["max_input_chars_per_word"],
        "removed": _ranges(removed),
        "apart": _ranges(apart),
        "becomes": becomes,
        "spaces": _ranges(spaces),
        "punctuation": _ranges(alone),
        "blank": _ranges(code for code in CODE_POINTS if chr(code).isspace()),
    }


def refuse_others(tokenizer_json: str) -> None:
    """Raise ExportError for any part that the page has no code for."""
    tree = json.loads(tokenizer_json)
    model, before, tokens = tree["model"], tree.get("pre_tokenizer") or {}, tree.get("added_tokens") or []
    found = None
    if model.get("type") != "WordPiece":
        found = f"its model is {model.get('type')}, not WordPiece"
    elif before.get("type") != "BertPreTokenizer":
        found = f"its pre-tokenizer is {before.get('type')}, not BertPreTokenizer"
    elif others := _kinds(tree.get("normalizer")) - set(NORMALIZERS):
        found = f"its normalizer holds {', '.join(sorted(others))}"
    elif any(t["single_word"] or t["lstrip"] or t["rstrip"] or t["normalized"] or not t["content"] for t in tokens):
        found = "it has added tokens that are not taken as they stand"
    elif model["unk_token"] not in model["vocab"]:
        found = f"its vocabulary lacks {model['unk_token']}"
    if found:
        raise ExportError(f"the page cannot tokenise as this Bundle does: {found}; {NEXT}")


def _kinds(normalizer: dict[str, Any] | None) -> set[str]:
    if normalizer is None:
        return set()
    inner = [_kinds(part) for part in normalizer.get("normalizers", ())]
    return {normalizer["type"]}.union(*inner)


def _around(processor: dict[str, Any] | None) -> tuple[list[int], list[int]]:
    """The special ids before and after a text."""
    if processor is None:
        return [], []
    if processor["type"] == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    if processor["type"] != "TemplateProcessing":
        raise ExportError(f"the page cannot tokenise as this Bundle does: it ends in {processor['type']}; {NEXT}")
    places: tuple[list[int], list[int]] = ([], [])
    seen = 0
    for part in processor["single"]:
        if "Sequence" in part:
            seen += 1
        else:
            places[min(seen, 1)].extend(processor["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    if seen != 1:
        raise ExportError(f"the page cannot tokenise as this Bundle does: a text stands {seen} times in it; {NEXT}")
    return places


def _changes(tokenizer: Tokenizer) -> tuple[list[int], list[int], dict[str, str]]:
    """Code points that are removed, that get a blank on either side, and what the others become."""
    removed: list[int] = []
    apart: list[int] = []
    becomes: dict[str, str] = {}
    for codes in _pieces() if tokenizer.normalizer is not None else ():
        letters = [chr(code) for code in codes if chr(code) != MARK]
        marked = MARK.join(letters)
        after = tokenizer.normalizer.normalize_str(marked)
        if after == marked:
            continue
        for letter, form in zip(letters, after.split(MARK), strict=True):
            if form == "":
                removed.append(ord(letter))
            elif form == f" {letter} ":
                apart.append(ord(letter))
            elif form != letter:
                becomes[letter] = form
    return removed, apart, becomes


def _cuts(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Code points that are a word of their own, and those that only part words."""
    alone: list[int] = []
    spaces: list[int] = []
    for codes in _pieces():
        marked = MARK + "".join(chr(code) + MARK for code in codes)
        words = tokenizer.pre_tokenizer.pre_tokenize_str(marked)
        if len(words) == 1:
            continue
        covered = [0] * len(marked)
        for _, (start, end) in words:
            covered[start:end] = [end - start] * (end - start)
        lengths = covered[1::2]
        alone += [code for code, length in zip(codes, lengths, strict=True) if length == 1]
        spaces += [code for code, length in zip(codes, lengths, strict=True) if length == 0]
    return alone, spaces


def _pieces() -> Iterator[Sequence[int]]:
    return (CODE_POINTS[start : start + PIECE] for start in range(0, len(CODE_POINTS), PIECE))


def _ranges(codes: Iterable[int]) -> list[list[int]]:
    """Ascending code points as [first, last] pairs."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges
