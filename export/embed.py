"""Everything that a Bundle holds, inside its ONNX file. Knows onnx; reading it back needs none of it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from distill.runtime.bundle import Contents, embedded
from distill.runtime.onnx.file import read


def embed(model: Path, contents: Contents, out: Path) -> None:
    """Write `out`: the graph of `model` with labels, thresholds, preprocessing and tokenizer in its metadata, and
    the SHA-256 of the graph, so that one file can be copied, checked and served alone."""
    proto = onnx.load(str(model))
    texts = embedded(contents)
    onnx.helper.set_model_props(proto, texts)
    onnx.save(proto, str(out))
    texts["distill.graph_sha256"] = json.dumps(read(out).graph_sha256)
    onnx.helper.set_model_props(proto, texts)
    onnx.save(proto, str(out))
