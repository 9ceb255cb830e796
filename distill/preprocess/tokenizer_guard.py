"""Guards against hostile tokenizer.json files: bounds their cost, and turns failures of the library into errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill.core.errors import BundleError
from distill.core.untrusted import parse_strict_json

MAX_ADDED = 20_000  # added tokens; each takes 0.1 ms to load, and large models have some thousands
MAX_GROWTH = 10_000  # characters that the normalizer may produce from one


def check_tokenizer(text: str) -> None:
    """Raise BundleError for a file that would take minutes or gigabytes for a short text."""
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
    """A bound on the characters that the normalizer produces from one: the product over all its replacements."""
    growth, nodes = 1.0, [normalizer]
    while nodes and growth <= MAX_GROWTH:
        node = nodes.pop()
        if isinstance(node, dict):
            content = node.get("content")
            growth *= len(content) + 1 if isinstance(content, str) else 1
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return growth


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn any error of the library, including a Rust panic, into a BundleError of one line."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # pyo3's PanicException is not an Exception and cannot be imported
        raise BundleError(f"the tokenizer fails: {' '.join(str(error).split()) or type(error).__name__}") from error
