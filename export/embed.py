"""Everything that a Bundle holds, inside its ONNX file. Knows onnx; reading it back needs none of it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from distill.runtime.bundle import Contents, onnx_metadata
from distill.runtime.onnx.metadata import read_metadata


def embed(model: Path, contents: Contents, out: Path) -> None:
    """Write `out`: the graph of `model` with labels, thresholds, preprocessing and tokenizer in its metadata, and
    the SHA-256 of the graph, so that one file can be copied, checked and served alone."""
    proto = onnx.load(str(model))
    texts = onnx_metadata(contents)
    onnx.helper.set_model_props(proto, texts)
    onnx.save(proto, str(out))
    texts["distill.graph_sha256"] = json.dumps(read_metadata(out).graph_sha256)
    onnx.helper.set_model_props(proto, texts)
    onnx.save(proto, str(out))
