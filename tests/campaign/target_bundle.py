"""The JSON files of a Bundle, with checksums that are right again, and its tokenizer.json."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from campaign.outcome import Wrong
from campaign.subject import Subject
from campaign.target_onnx import small_model
from distill.core.untrusted import replace_surrogates
from distill.preprocess.text import TextSpec, load_tokenizer, tokenise
from distill.runtime.bundle import Bundle
from distill.runtime.golden import print_report, replay_golden
from distill.runtime.predictor import Predictor

MANIFEST = "manifest.json"
MAX_TOLERANCE = 10.0  # of a logit
POSTS = ("WHO DID THIS", "é e\u0301 政治 🔥 \u202e\u200b", "", "a" * 5000, "word " * 500, "\x00\ud800")
SPEC = TextSpec(max_tokens=64, pad_id=0)
CHARSMAP = base64.b64encode(bytes([4, 0, 0, 0, *range(64)])).decode()  # a table of one entry, and texts
COMPONENTS: tuple[Any, ...] = (
    {"type": "Prepend", "prepend": "a" * 100_000},
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "ab" * 5000}] * 40},
    {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
    {"type": "Replace", "pattern": {"Regex": "(a|a)*b"}, "content": "aa"},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 9000},
    {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Lowercase"},
    {"type": "NFKD"},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 500, "pair": []},
    {"id": 1 << 31, "content": "a", "lstrip": True, "rstrip": True, "normalized": True, "special": True},
    10**9,
    -1,
    1 << 62,
    "BPE", "Unigram", "WordPiece", "WordLevel", "max_input_chars_per_word",
)  # fmt: skip


def seeds(name: str) -> Callable[[Subject], list[bytes]]:
    """The file as export wrote it, of both Bundles."""

    def read(subject: Subject) -> list[bytes]:
        contents = [(folder / f"{name}.json").read_bytes() for folder in (subject.int8, subject.fp32)]
        if f"{name}.json" != MANIFEST:
            return contents
        digest = hashlib.sha256(small_model().SerializeToString()).hexdigest()
        trees = [json.loads(content) for content in contents]
        for tree in trees:
            tree["files"]["model.onnx"] = digest
        return [json.dumps(tree).encode() for tree in trees]

    return read


def opened(name: str) -> Callable[[Subject, Path], Callable[[bytes], object]]:
    """Open a copy of the int8 Bundle with this file changed; replay what its golden answers have become."""
    file = f"{name}.json"

    def prepare(subject: Subject, folder: Path) -> Callable[[bytes], object]:
        copy = folder / "bundle"
        copy.mkdir()
        for path in subject.int8.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        manifest = json.loads((copy / MANIFEST).read_bytes())
        model = small_model().SerializeToString()  # what is not attacked is opened quickly
        manifest["files"]["model.onnx"] = hashlib.sha256(model).hexdigest()
        (copy / "model.onnx").write_bytes(model)
        predictor = Predictor.load(subject.int8, threads=1)

        def run(content: bytes) -> None:
            (copy / file).write_bytes(content)
            if file != MANIFEST:
                manifest["files"][file] = hashlib.sha256(content).hexdigest()
                (copy / MANIFEST).write_bytes(json.dumps(manifest).encode())
            bundle = Bundle.open(copy)
            if name == "golden":
                predictor.bundle = bundle
                _replay(predictor)

        return run

    return prepare


def _replay(predictor: Predictor) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        report = replay_golden(predictor)
        print_report(report, "bundle")
    if not (math.isfinite(report.tolerance) and 0 <= report.tolerance <= MAX_TOLERANCE):
        raise Wrong("an absurd golden tolerance was accepted", f"{report.tolerance:.3g}")
    printed = out.getvalue() + err.getvalue()
    odd = [character for character in printed if not character.isprintable() and character != "\n"]
    if odd:
        raise Wrong("verify printed what commands a terminal", repr(odd[0]))


def tokenizer_seeds(subject: Subject) -> list[bytes]:
    """The subject's tokenizer, and a small one of every kind."""
    texts = ["who did this", "they said it could not be done", "é 政治 🔥", "vote vote vote"] * 3
    kinds: list[tuple[Any, Any, Any]] = [
        (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer, pre_tokenizers.ByteLevel()),
        (models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, pre_tokenizers.BertPreTokenizer()),
        (models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer, pre_tokenizers.Whitespace()),
        (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace()),
    ]
    result = [(subject.int8 / "tokenizer.json").read_bytes()]
    for model, trainer, splitter in kinds:
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer, tokenizer.decoder = splitter, decoders.ByteLevel()
        special = {"special_tokens": ["[PAD]", "[UNK]"], "show_progress": False}
        tokenizer.train_from_iterator(texts, trainer(vocab_size=120, **special))
        result.append(tokenizer.to_str().encode())
    return result


def open_tokenizer(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    """Load it and tokenise a few posts, each within `max_tokens`."""

    def run(content: bytes) -> None:
        tokenizer = load_tokenizer(replace_surrogates(content.decode("utf-8", "replace")), SPEC)
        longest = max(map(len, tokenise(tokenizer, POSTS)))
        if longest > SPEC.max_tokens:
            raise Wrong("more tokens than max_tokens", str(longest))

    return run
