"""Guards against hostile tokenizer.json files: bounds their cost, and turns failures of the library into errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer

from distill.core.errors import BundleError
from distill.core.untrusted import parse_strict_json, short_repr, shorten
from distill.preprocess.tokenizer_parts import KINDS, MAX_ID, MAX_PIECE, MODELS, PARAMETERS, Kind, charsmap_growth

MAX_ADDED = 20_000  # added tokens; each takes 0.1 ms to load, and large models have some thousands
MAX_PARTS = 16  # of one step, such as the normalizer
MAX_GROWTH = 400  # characters that normalizer and pre-tokenizer may make of one; ALBERT's make up to 18 x 18
LONG_TEXT = 1000  # characters, from which on a text's real growth is measured, so many at a time
MAX_NORMALIZED = 2_000_000  # characters of a text after the normalizer, sixty for each of the most tokens
# Characters that some types make of one: bytes as characters, spaces around ideographs, and "ﷺ" in full.
GROWTH = {"ByteLevel": 4, "BertNormalizer": 3, "NFKC": 18, "NFKD": 18}
KEYS = {"version", "truncation", "padding", "added_tokens", "model", *(kind.key for kind in KINDS)}
ADDED_KEYS = {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}


def check_tokenizer(text: str) -> None:
    """Raise BundleError for a file with a part that is not known to be harmless, or with too large a parameter."""
    tree = parse_strict_json(text, "the tokenizer", BundleError)
    if not isinstance(tree, dict):
        raise BundleError(f"the tokenizer is a {type(tree).__name__}, not an object")
    if unknown := sorted(tree.keys() - KEYS):
        raise BundleError(f"the tokenizer has the unknown key {short_repr(unknown[0])}")
    _check_added(tree.get("added_tokens") or [])
    growth = 1.0
    for kind in KINDS:
        for part in _parts(kind, tree.get(kind.key)):
            _check_parameters(part, f"{kind.key} {part['type']}")
            growth *= _growth(part) if kind.key in ("normalizer", "pre_tokenizer") else 1
    if growth > MAX_GROWTH:
        raise BundleError(f"the tokenizer's normalizer makes up to {growth:.0f} characters of one")
    model = tree.get("model")
    if not isinstance(model, dict) or model.get("type") not in (*MODELS, None):  # old files do not name the type
        raise BundleError(f"the tokenizer's model is {_type_of(model)}; expected {', '.join(MODELS)}")
    _check_parameters(model, "model")


def cut(tokenizer: Tokenizer, text: str) -> str:
    """The text, or its beginning where the normalizer would make more than MAX_NORMALIZED characters of it; what is
    cut off is far beyond the most tokens that a model takes."""
    if len(text) <= LONG_TEXT or tokenizer.normalizer is None:
        return text
    size = 0
    for start in range(0, len(text), LONG_TEXT):
        size += len(tokenizer.normalizer.normalize_str(text[start : start + LONG_TEXT]))
        if size > MAX_NORMALIZED:
            return text[:start]
    return text


def _check_added(tokens: Any) -> None:
    if not isinstance(tokens, list):
        raise BundleError(f"the tokenizer's added_tokens are {short_repr(tokens)}, not a list")
    if len(tokens) > MAX_ADDED:
        raise BundleError(f"the tokenizer has {len(tokens):,} added tokens, over the limit of {MAX_ADDED:,}")
    for token in tokens:
        content = token.get("content") if isinstance(token, dict) and token.keys() <= ADDED_KEYS else None
        if not isinstance(content, str) or not 1 <= len(content) <= MAX_PIECE:
            raise BundleError(
                f"the tokenizer's added token {short_repr(token)} has an unknown key, or no content of 1 to "
                f"{MAX_PIECE} characters"
            )
        if type(token.get("id")) is not int or not 0 <= token["id"] <= MAX_ID:
            raise BundleError(f"the tokenizer's added token {short_repr(content)} has no id from 0 to {MAX_ID}")


def _parts(kind: Kind, tree: Any) -> list[dict[str, Any]]:
    """The parts of one step, those inside of sequences too."""
    parts: list[dict[str, Any]] = []
    nodes = [] if tree is None else [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict) and node.get("type") == "Sequence" and isinstance(node.get(kind.inner), list):
            nodes += node[kind.inner]
        elif isinstance(node, dict) and isinstance(node.get("type"), str) and node["type"] in kind.types:
            parts.append(node)
        else:
            raise BundleError(
                f"the tokenizer's {kind.key} holds {_type_of(node)}; expected {', '.join(sorted(kind.types))}"
            )
        if len(nodes) + len(parts) > MAX_PARTS:
            raise BundleError(f"the tokenizer's {kind.key} has more than {MAX_PARTS} parts")
    return parts


def _type_of(node: Any) -> str:
    return short_repr(node.get("type") if isinstance(node, dict) else node)


def _check_parameters(part: dict[str, Any], where: str) -> None:
    for name, value in part.items():
        if name == "type":
            continue
        if name not in PARAMETERS:
            raise BundleError(f"the tokenizer's {where} has the unknown parameter {short_repr(name)}")
        if not PARAMETERS[name].holds(value):
            raise BundleError(
                f"the tokenizer's {where} has {name}={short_repr(value)}; expected {PARAMETERS[name].expected}"
            )


def _growth(part: dict[str, Any]) -> int:
    """The most characters that a part makes of one."""
    if part["type"] == "Replace":
        pattern = part.get("pattern") or {}
        return max(1, math.ceil(len(part.get("content") or "") / len(pattern.get("String", "x"))))
    if part["type"] == "Precompiled":
        try:
            return max(1, charsmap_growth(part.get("precompiled_charsmap")))
        except ValueError as error:
            raise BundleError(f"the tokenizer's normalizer cannot be read: {error}") from error
    return GROWTH.get(part["type"], 1)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn any error of the library, including a Rust panic, into a BundleError of one line."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, BundleError):
        raise
    except BaseException as error:  # pyo3's PanicException is not an Exception and cannot be imported
        reason = shorten(" ".join(str(error).split())) or type(error).__name__
        raise BundleError(f"the tokenizer fails: {reason}") from error
