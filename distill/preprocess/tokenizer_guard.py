"""What a tokenizer.json may not ask for, and how its library's failures are told. Knows the file, no model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill.core.errors import BundleError
from distill.core.untrusted import parse_strict_json

MAX_ADDED = 20_000  # each takes 0.1 ms to load, and large models have some thousand
MAX_GROWTH = 10_000  # what all replacements of the normalizer together may make of one character


def check_tokenizer(text: str) -> None:
    """Raises BundleError for a file that would take minutes or gigabytes for a short text."""
    tree = parse_strict_json(text, "the tokenizer", BundleError)
    if not isinstance(tree, dict):
        raise BundleError(f"the tokenizer is a {type(tree).__name__}, not an object")
    added = tree.get("added_tokens") or []
    if isinstance(added, list) and len(added) > MAX_ADDED:
        raise BundleError(f"the tokenizer has {len(added):,} added tokens, over the limit of {MAX_ADDED:,}")
    growth = _growth(tree.get("normalizer"))
    if growth > MAX_GROWTH:
        raise BundleError(f"the tokenizer's normalizer makes up to {growth:.0e} characters of one")


def _growth(normalizer: Any) -> float:
    """The product of what its replacements put in place of a character, wherever in it they stand."""
    growth, left = 1.0, [normalizer]
    while left and growth <= MAX_GROWTH:
        node = left.pop()
        if isinstance(node, dict):
            content = node.get("content")
            growth *= len(content) + 1 if isinstance(content, str) else 1
            left += node.values()
        elif isinstance(node, list):
            left += node
    return growth


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn whatever the library throws, a panic of its Rust included, into a BundleError of one line."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # pyo3's PanicException is no Exception and has no importable name
        raise BundleError(f"the tokenizer fails: {' '.join(str(error).split()) or type(error).__name__}") from error
