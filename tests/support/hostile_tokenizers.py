"""Changes to a Bundle's tokenizer.json that would cost minutes or gigabytes for a short text, or let in what nobody
knows, and a part of what each refusal says."""

from __future__ import annotations

import base64
import struct
from typing import Any

from hostile_graphs import Change, put


def growing(tree: Any) -> None:
    tree["normalizer"] = sequence([replace("a", "a" * 16)] * 5)


def replace(pattern: str, content: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def sequence(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": parts}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": False}


def crowded(tree: Any) -> None:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tree["added_tokens"] = [{"id": i, "content": f"t{i}", **plain} for i in range(100_000)]


def talkative(tree: Any) -> None:
    special = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    tree["post_processor"]["single"] = [special] * 1000 + tree["post_processor"]["single"]


def echoing(tree: Any) -> None:
    tree["post_processor"]["single"] += [{"Sequence": {"id": "A", "type_id": 0}}] * 9


def charsmap(replacement: str) -> str:
    """A Precompiled normalizer's map, in base64, that puts the replacement in the place of an "a"."""
    offset, leaf, units = 1 << 10, 1 << 8, [0] * 512
    units[0] = 256 * offset
    units[256 ^ ord("a")] = offset | leaf | ord("a")  # and its value, at the place beside it, is 0
    content = struct.pack("<513I", 4 * len(units), *units) + replacement.encode() + b"\0"
    return base64.b64encode(content).decode()


def precompiled(replacement: str) -> dict[str, Any]:
    return {"type": "Precompiled", "precompiled_charsmap": charsmap(replacement)}


def prepending(tree: Any) -> None:
    tree["normalizer"] = sequence([{"type": "Prepend", "prepend": "a" * 1_000_000}] * 4)


def stretching(tree: Any) -> None:
    tree["normalizer"] = sequence([precompiled("a" * 18)] * 4)


def many_parts(tree: Any) -> None:
    tree["normalizer"] = sequence([{"type": "Prepend", "prepend": "a"}] * 1000)


def long_pieces(tree: Any) -> None:
    pieces = [["[UNK]", 0.0], *(["a" * length, -1.0] for length in range(1, 2000))]
    tree["model"] = {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}


def random_merges(tree: Any) -> None:
    tree["model"] = {"type": "BPE", "dropout": 0.5, "vocab": {"a": 0}, "merges": []}


CUT, DAMAGED = {"precompiled_charsmap": "////fwAA"}, {"precompiled_charsmap": "not base64"}
TOKENIZERS = [
    Change("growing", "tokenizer.json", growing, "characters of one"),
    Change("stretching", "tokenizer.json", stretching, "characters of one"),
    Change(
        "200,000 characters of one",
        "tokenizer.json",
        put("normalizer", value=precompiled("b" * 200_000)),
        "200000 characters of one",
    ),
    Change("map cut off", "tokenizer.json", put("normalizer", value=precompiled("") | CUT), "cut off"),
    Change("map damaged", "tokenizer.json", put("normalizer", value=precompiled("") | DAMAGED), "damaged"),
    Change("prepending", "tokenizer.json", prepending, "prepend='aaa"),
    Change("many parts", "tokenizer.json", many_parts, "more than 16 parts"),
    Change("long word", "tokenizer.json", put("model", "max_input_chars_per_word", value=10**9), "max_input_chars"),
    Change("long pieces", "tokenizer.json", long_pieces, "vocab="),
    Change("huge content", "tokenizer.json", put("normalizer", value=replace("a", "b" * 10**6)), "content='bbb"),
    Change("a match everywhere", "tokenizer.json", put("normalizer", value=replace("", "b")), "pattern="),
    Change("an empty match", "tokenizer.json", put("normalizer", value=replace("a*", "b", "Regex")), "pattern="),
    Change("a huge expression", "tokenizer.json", put("pre_tokenizer", value=split("(?:a{999}){999}")), "pattern="),
    Change("crowded", "tokenizer.json", crowded, "100,000 added tokens"),
    Change("talkative", "tokenizer.json", talkative, "parts with the text once"),
    Change("echoing", "tokenizer.json", echoing, "parts with the text once"),
    Change("dice", "tokenizer.json", random_merges, "dropout=0.5"),
    Change("endless search", "tokenizer.json", put("pre_tokenizer", value=split("(o+o*)+\\d")), "pattern="),
    Change("another part", "tokenizer.json", put("pre_tokenizer", value={"type": "Shell"}), "holds 'Shell'"),
    Change("another key", "tokenizer.json", put("script", value="x"), "unknown key 'script'"),
    Change("another parameter", "tokenizer.json", put("model", "run", value="x"), "unknown parameter 'run'"),
    Change("no model", "tokenizer.json", lambda t: t.pop("model"), "model is None"),
    Change(
        "no unknown word", "tokenizer.json", put("model", "unk_token", value="[nothing]"), "the tokenizer fails"
    ),
    Change("a list", "tokenizer.json", lambda _: b"[]", "is a list, not an object"),
    Change("deep", "tokenizer.json", lambda _: b"[" * 90_000, "not readable as JSON"),
    Change("not text", "tokenizer.json", lambda _: b"\xff", "is not UTF-8"),
]
