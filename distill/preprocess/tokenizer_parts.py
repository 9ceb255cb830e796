"""The parts that a tokenizer.json may be made of, and a bound for every parameter of theirs.

Only what is listed here is built: a part of another type, or a parameter without a bound, is refused. The types are
those of the tokenizers package that encode a text in a time linear in its length; a regular expression may hold one
character class with a small quantifier, since the package's engine can take a time without end for others.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PIECES = 500_000  # of a vocabulary and of its merges; multilingual ones have 260,000
MAX_PIECE = 512  # characters; long runs of spaces are pieces of some
MAX_UNIGRAM_PIECE = 32  # at each character a text is compared with all of them; sentencepiece's longest has 16
MAX_WORD = 100  # characters of a word that WordPiece looks up, in a time that grows with their square; as BERT has
MAX_PATTERN = 64  # characters
MAX_AFFIX = 16  # characters that a part puts in, such as "▁" and "##"
MAX_ID = (1 << 31) - 1
REGEX = re.compile(
    r"(?:\\[sSdDwW]|\\[pP]\{\w{1,32}\}|\\[^\w\s]|[\w ]|[^\w\s\\(){}|?*+^$.\[\]]|\[(?:\\.|[^\[\]\\&])+\])"
    r"(?:\+|\{[1-9](?:,\d?)?\})?"
)
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


@dataclass(frozen=True)
class Kind:
    """One of a tokenizer's steps: its key in tokenizer.json, the `types` of its parts, and the key under which a
    part of type "Sequence" holds further ones."""

    key: str
    inner: str
    types: frozenset[str]


NORMALIZERS = {
    *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend"),
    *("Replace", "Strip", "StripAccents"),
}
PRE_TOKENIZERS = {
    *("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation"),
    *("Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"),
}
POST_PROCESSORS = {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}
DECODERS = {  # never run, but built
    *("BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"),
}
KINDS = (
    Kind("normalizer", "normalizers", frozenset(NORMALIZERS)),
    Kind("pre_tokenizer", "pretokenizers", frozenset(PRE_TOKENIZERS)),
    Kind("post_processor", "processors", frozenset(POST_PROCESSORS)),
    Kind("decoder", "decoders", frozenset(DECODERS)),
)
MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")


@dataclass(frozen=True)
class Bound:
    """What a parameter may be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _text(low: int, high: int, optional: bool = False) -> Bound:
    def holds(value: Any) -> bool:
        return (optional and value is None) or (isinstance(value, str) and low <= len(value) <= high)

    return Bound(f"a text of {low} to {high} characters", holds)


def _whole(low: int, high: int) -> Bound:
    return Bound(f"a whole number from {low} to {high}", lambda value: _is_whole(value, low, high))


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _one_of(*choices: Any) -> Bound:
    return Bound(
        f"one of {', '.join(map(str, choices))}",
        lambda value: any(value is choice or (isinstance(value, str) and value == choice) for choice in choices),
    )


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, pattern),) = value.items()
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= MAX_PATTERN:
        return False
    return kind == "String" or (kind == "Regex" and REGEX.fullmatch(pattern) is not None)


def _is_piece(value: Any, longest: int = MAX_PIECE) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _is_vocabulary(value: Any) -> bool:
    if not isinstance(value, dict | list) or len(value) > MAX_PIECES:
        return False
    if isinstance(value, dict):
        return all(_is_piece(piece) and _is_whole(id_, 0, MAX_ID) for piece, id_ in value.items())
    return all(
        isinstance(pair, list)
        and len(pair) == 2
        and _is_piece(pair[0], MAX_UNIGRAM_PIECE)
        and isinstance(pair[1], int | float)
        for pair in value
    )


def _is_merges(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > MAX_PIECES:
        return False
    return all(
        _is_piece(pair, 2 * MAX_PIECE + 1)
        if isinstance(pair, str)
        else isinstance(pair, list) and len(pair) == 2 and all(map(_is_piece, pair))
        for pair in value
    )


def _is_template(value: Any) -> bool:
    """At most 16 pieces of a template, the text itself once."""
    if not isinstance(value, list) or len(value) > MAX_AFFIX or not all(isinstance(part, dict) for part in value):
        return False
    texts = [str(part["Sequence"].get("id")) for part in value if isinstance(part.get("Sequence"), dict)]
    return len(set(texts)) == len(texts) and all(set(part) <= {"Sequence", "SpecialToken"} for part in value)


def _is_special(value: Any) -> bool:
    """The special tokens of a template: few, each of few ids."""
    return (
        isinstance(value, dict)
        and len(value) <= 2 * MAX_AFFIX
        and all(
            isinstance(token, dict)
            and all(isinstance(token.get(key), list) and len(token[key]) <= 4 for key in ("ids", "tokens"))
            and all(_is_whole(id_, 0, MAX_ID) for id_ in token["ids"])
            for token in value.values()
        )
    )


def _is_end(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_piece(value[0]) and _is_whole(value[1], 0, MAX_ID)


def charsmap_growth(text: Any) -> int:
    """The most characters that a Precompiled normalizer makes of one. Raises ValueError for a damaged map.

    A map is the size of its trie, the trie, and the replacements, each ending in a NUL; the trie points anywhere in
    them (https://github.com/google/sentencepiece, `Normalizer::DecodePrecompiledCharsMap`).
    """
    try:
        content = base64.b64decode(text, validate=True)
        start = 4 + int.from_bytes(content[:4], "little")
        replacements = content[start:].decode("utf-8")
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError("its precompiled_charsmap is damaged") from error
    if start > len(content) or start % 4:
        raise ValueError("its precompiled_charsmap is cut off")
    return max(map(len, replacements.split("\0")))


_FLAG = _one_of(True, False, None)
_AFFIX = _text(0, MAX_AFFIX, optional=True)
_CHARACTER = _text(1, 1)
_NAME = _text(0, MAX_PIECE, optional=True)
_END = Bound("a token and its id", _is_end)
_TEMPLATE = Bound(f"at most {MAX_AFFIX} parts with the text once", _is_template)

# By name: no two types give one name to different things.
PARAMETERS = {
    **dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), _FLAG),
    **dict.fromkeys(("strip_left", "strip_right", "add_prefix_space", "trim_offsets", "use_regex"), _FLAG),
    **dict.fromkeys(("individual_digits", "split", "invert", "cleanup"), _FLAG),
    **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), _FLAG),
    **dict.fromkeys(("content", "prefix", "suffix"), _AFFIX),
    **dict.fromkeys(("continuing_subword_prefix", "end_of_word_suffix"), _AFFIX),
    **dict.fromkeys(("replacement", "str_rep", "delimiter"), _CHARACTER),
    **dict.fromkeys(("unk_token", "pad_token", "word_delimiter_token"), _NAME),
    **dict.fromkeys(("sep", "cls"), _END),
    **dict.fromkeys(("single", "pair"), _TEMPLATE),
    **dict.fromkeys(("start", "stop"), _whole(0, 1000)),
    "prepend": _text(1, MAX_AFFIX),
    "prepend_scheme": _one_of("first", "never", "always"),
    "behavior": _one_of(*BEHAVIORS),
    "pattern": Bound('a "String", or a "Regex" of one character class with a quantifier', _is_pattern),
    "precompiled_charsmap": Bound("a text", lambda value: isinstance(value, str)),  # charsmap_growth reads it
    "length": _whole(1, 1000),
    "special_tokens": Bound(f"at most {2 * MAX_AFFIX} tokens of at most 4 ids", _is_special),
    "vocab": Bound(
        f"at most {MAX_PIECES:,} pieces of at most {MAX_PIECE} characters ({MAX_UNIGRAM_PIECE} in Unigram)",
        _is_vocabulary,
    ),
    "merges": Bound(f"at most {MAX_PIECES:,} pairs of pieces", _is_merges),
    "max_input_chars_per_word": _whole(1, MAX_WORD),
    "unk_id": Bound("an id or null", lambda value: value is None or _is_whole(value, 0, MAX_ID)),
    "dropout": _one_of(None),
}
